#include "pitr/import_writer.h"

#include "pitr/segment_cache.h"
#include "replication/event/stream_scanner.h"
#include "replication/source/binlog_file.h"

namespace tidemark {
namespace {

// A member of a group stamps what it commits first before the group has agreed to it
// (plugin/group_replication/src/observer_trans.cc, group_replication_trans_before_commit).
constexpr int64_t kOwnCommitUsMax = 10'000'000;

}  // namespace

// An empty transaction is an operator's way to pass over one of another server; one that was
// committed long before was replayed from a binlog.
std::optional<Uuid> OwnOrigin(FileSystem& files, const std::string& path,
                              const std::function<bool()>& go_on) {
  const auto input = BinlogFile::Open(files, path);
  if (!input.ok()) return std::nullopt;
  StreamScanner scanner(ScannerOptions{.count_rows = false});
  bool own = false;
  while (go_on()) {
    const Result<Bytes> bytes = (*input)->Next();
    ScannedEvent event;
    if (!bytes.ok() || !scanner.FeedEvent(*bytes, &event).ok()) return std::nullopt;
    if (event.begins_transaction) own = event.header.server_id == (*input)->server_id();
    if (!own || event.finished == nullptr) continue;
    const Transaction& transaction = *event.finished;
    if (transaction.kind != TransactionKind::kEmpty &&
        transaction.immediate_commit_us - transaction.original_commit_us <= kOwnCommitUsMax)
      return transaction.gtid.tsid.uuid;
  }
  return std::nullopt;
}

Result<KnownServers> KnownServers::Of(ArchiveView& view) {
  KnownServers known;
  std::map<Uuid, const SegmentRecord*> last;
  for (const SegmentRecord& segment : view.segments()) {
    last[segment.header.server_uuid] = &segment;
    std::set<Uuid>& origins = known.origins_[segment.header.server_uuid];
    for (const auto& [tsid, intervals] : segment.gtids.map()) origins.insert(tsid.uuid);
  }
  for (const auto& [uuid, segment] : last) {
    TM_ASSIGN_OR_RETURN(const OpenSegment opened, OpenSegmentFile(view, *segment));
    const EventHeader header = ReadEventHeader(AsBytes(opened.format_description).data());
    known.by_id_[header.server_id].insert(uuid);
  }
  return known;
}

Result<std::optional<Uuid>> KnownServers::WriterOf(const std::string& path, uint32_t server_id,
                                                   const std::optional<Uuid>& own_origin,
                                                   const std::optional<Uuid>& told) const {
  if (told) {
    TM_RETURN_IF_ERROR(CheckTold(path, server_id, own_origin, *told));
    return told;
  }
  const auto known = by_id_.find(server_id);
  if (known == by_id_.end()) return std::optional<Uuid>();
  if (own_origin && known->second.contains(*own_origin)) return own_origin;
  // A group's members commit under the group's UUID. A server that was made anew under the id of
  // an old one has an own UUID, which the old one never committed under.
  std::optional<Uuid> writer;
  for (const Uuid& uuid : known->second) {
    if (own_origin && !origins_.at(uuid).contains(*own_origin)) continue;
    if (writer) return std::optional<Uuid>();
    writer = uuid;
  }
  return writer;
}

Status KnownServers::CheckTold(const std::string& path, uint32_t server_id,
                               const std::optional<Uuid>& own_origin, const Uuid& told) const {
  const auto known = by_id_.find(server_id);
  if (known == by_id_.end() || own_origin == told) return OkStatus();
  const auto refuse = [&](const std::string& why) {
    return Status(Code::kUsage, path + " was not written by " + told.ToString() + ": " + why,
                  "leave --server-uuid out, and the archive says which server it was");
  };
  if (own_origin && known->second.contains(*own_origin))
    return refuse("what was committed on its server first is " + own_origin->ToString() + "'s");
  if (origins_.contains(told) && !known->second.contains(told))
    return refuse("its server_id is " + std::to_string(server_id) +
                  ", which the archive knows of " + known->second.begin()->ToString());
  return OkStatus();
}

}  // namespace tidemark
