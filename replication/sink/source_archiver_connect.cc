// What the archiver does before each dump: connects, compares the source's history with the
// archive's, and finds the place at which to go on.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "replication/sink/reused_gtids.h"
#include "replication/sink/source_archiver.h"

namespace tidemark {
namespace {

// In front of an encrypted binary log, and counted in the length that the source tells
// (sql/rpl_log_encryption.h).
constexpr uint64_t kBinlogEncryptionBytes = 512;

// A longer last transaction is not sent whole each time a link breaks.
constexpr uint64_t kSentAgainBytesMax = 16 << 20;

}  // namespace

// Once: from then on the source is there, and says itself what it continues.
Status SourceArchiver::BeginLineage() {
  if (options_.continues.empty()) return OkStatus();
  TM_ASSIGN_OR_RETURN(const bool begun,
                      LineageIsBegun(archive_, options_.source, options_.continues));
  if (begun) return OkStatus();
  source_->NoteArchived({});
  Result<SourceFacts> facts = source_->Connect();
  source_->Disconnect();
  if (!facts.ok()) return facts.error();
  LineageBeginning beginning;
  beginning.source = options_.source;
  beginning.parent = options_.continues;
  TM_ASSIGN_OR_RETURN(beginning.executed, SharedWithParent(*facts));
  beginning.server = facts->server;
  beginning.writer = options_.pipeline.writer;
  beginning.writer.hash_raw = true;
  beginning.hooks = options_.lineage_hooks;
  beginning.give_up = [this] { return stopping_.load(); };
  TM_ASSIGN_OR_RETURN(const SourceFork fork, tidemark::BeginLineage(archive_, clock_, beginning));
  spdlog::warn("[{}] continues {} from {} on, behind its segment {} and {}", options_.source,
               fork.parent, facts->server, fork.segment, fork.set.ToString());
  if (!fork.lost.empty())
    spdlog::warn("[{}] what {} has beyond that is given up here: {}", options_.source, fork.parent,
                 fork.lost.ToString());
  return OkStatus();
}

// What the server has executed, but for what it has made anew under the parent's GTIDs.
Result<GtidSet> SourceArchiver::SharedWithParent(const SourceFacts& facts) {
  OriginsRequest request = Origins();
  request.our_uuid = ArchiveDirectory::NewReplicaUuid();
  const AskServer ask = [&](const GtidSet& wanted, bool apart, const OnOrigin& each) {
    request.wanted = wanted;
    request.apart = apart;
    return ReadOrigins(*source_, facts.server_uuid, request, each);
  };
  TM_ASSIGN_OR_RETURN(const GtidSet reused,
                      ReusedGtids(archive_, options_.continues, facts.gtid_executed, ask,
                                  [this] { return stopping_.load(); }));
  if (!reused.empty())
    spdlog::warn("[{}] {} has other transactions than {} under these GTIDs: {}", options_.source,
                 facts.server, options_.continues, reused.ToString());
  return facts.gtid_executed.Minus(reused);
}

Status SourceArchiver::Connect(DumpRequest* request) {
  session_->ForgetGapAhead();
  // Where nothing is of our own yet, the server that was archived last is that of a history which
  // was given up.
  const bool parents_end = !identity_.forks.empty() && session_->resume().place.file.empty();
  const std::vector<Uuid>& servers = identity_.server_uuids;
  const bool by_nobody = servers.empty() || parents_end;
  source_->NoteArchived({session_->resume().executed,
                         by_nobody ? std::nullopt : std::optional(servers.back()),
                         session_->resume().missing});
  GapRecord gap;
  TM_ASSIGN_OR_RETURN(const SourceFacts facts, ConnectToSameHistory(request, &gap));
  TM_RETURN_IF_ERROR(RememberServer(facts.server_uuid));
  request->server_id = options_.server_id;
  request->our_uuid = identity_.replica_uuid;
  request->heartbeat_us = options_.heartbeat_us;
  {
    std::lock_guard lock(mutex_);
    ++status_.connections;
    status_.server_version = facts.version;
    status_.server = facts.server;
    status_.server_uuid = facts.server_uuid;
  }
  spdlog::info(
      "[{}] connected to {}, MySQL {} ({}), {}; archived up to {}", options_.source, facts.server,
      facts.version, facts.server_uuid.ToString(),
      facts.tls_cipher.empty() ? "no TLS" : facts.tls_cipher,
      session_->resume().place.file.empty() ? "nothing yet" : session_->resume().place.file);
  if (!gap.missing.empty())
    spdlog::warn(
        "[{}] gap: {} is not archived: {} (pitr import fills it, should the files turn up)",
        options_.source, gap.missing.ToString(), gap.reason);
  watch_.BeginDump(facts.server_uuid, facts.gtid_executed);
  session_->OnConnected(facts.server_uuid, gap);
  ShowGapAhead();
  request->exclude = Excluded(facts);
  meter_.OnConnected(facts.gtid_executed.Minus(request->exclude).Count());
  if (!compare_by_gtid_ && CanBeginWithLast(facts, *request)) BeginWithLast(request);
  return OkStatus();
}

// Connects, and finds out whether the source's history is the archive's and where the dump is to
// begin. Our last transaction is compared by the dump itself if that can begin with it. Otherwise
// (it is in another file, or the source has to find the place by GTID, and may send what is new
// before what we have; or we have met what no event is) by one of its own beforehand, which takes a
// connection.
Result<SourceFacts> SourceArchiver::ConnectToSameHistory(DumpRequest* request, GapRecord* gap) {
  TM_ASSIGN_OR_RETURN(SourceFacts facts, source_->Connect());
  TM_ASSIGN_OR_RETURN(*gap, CheckHistory(facts));
  TM_RETURN_IF_ERROR(CheckPlace(facts, request));
  const bool by_dump = !compare_by_gtid_ && CanBeginWithLast(facts, *request);
  if (by_dump || !session_->resume().last) return facts;
  TM_RETURN_IF_ERROR(CompareLast(facts));
  TM_ASSIGN_OR_RETURN(SourceFacts again, source_->Connect());
  if (again.server_uuid != facts.server_uuid) return AnotherServerAnswers(again);
  TM_ASSIGN_OR_RETURN(*gap, CheckHistory(again));
  // Where to begin stays as it was found: a source is not asked for its binary logs each time.
  again.binlogs = std::move(facts.binlogs);
  again.binlogs_visible = facts.binlogs_visible;
  return again;
}

// With the last one in archive order, the last ones by number of this server and of those archived
// last: what a server makes anew after a loss has the numbers behind those that it kept, wherever
// it came to stand.
Status SourceArchiver::CompareLast(const SourceFacts& facts) {
  const ResumePoint& resume = session_->resume();
  const GtidSet last_ones = resume.archived().LastOnes();
  GtidSet wanted;
  for (const auto& [tsid, intervals] : last_ones.map())
    if (tsid.uuid == facts.server_uuid || ArchivedLately(tsid.uuid))
      wanted.Add(tsid, intervals.back());
  wanted.Subtract(facts.gtid_purged);
  TM_RETURN_IF_ERROR(LookUp(wanted));
  std::map<Gtid, TransactionOrigin> ours = looked_up_;
  if (!facts.gtid_purged.Contains(resume.last->origin.gtid))
    ours[resume.last->origin.gtid] = resume.last->origin;
  OriginsRequest request = Origins();
  request.apart = true;
  for (const auto& [gtid, origin] : ours) request.wanted.Add(gtid);
  return ReadOrigins(*source_, facts.server_uuid, request, [&](const TransactionOrigin& theirs) {
    return ComparedWithOurs(options_.source, ours.at(theirs.gtid), theirs);
  });
}

void SourceArchiver::ShowGapAhead() {
  std::lock_guard lock(mutex_);
  status_.gap_ahead = session_->gap_ahead();
}

bool SourceArchiver::ArchivedLately(const Uuid& server_uuid) const {
  const std::vector<Uuid>& servers = identity_.server_uuids;
  const size_t lately = std::min<size_t>(servers.size(), 2);
  return std::find(servers.end() - static_cast<ptrdiff_t>(lately), servers.end(), server_uuid) !=
         servers.end();
}

// Which transactions those are, in looked_up_: not known of what does not read.
Status SourceArchiver::LookUp(const GtidSet& wanted) {
  std::erase_if(looked_up_, [&](const auto& one) { return !wanted.Contains(one.first); });
  GtidSet left = wanted;
  for (const auto& [gtid, origin] : looked_up_) left.Subtract(gtid);
  for (const auto& [tsid, intervals] : left.map()) {
    const Gtid gtid{tsid, intervals.back().last};
    looked_up_[gtid] = {gtid};
  }
  const Status found = FindOrigins(
      archive_, options_.source, left, [this] { return stopping_.load(); },
      [this](const ArchivedOrigin& one) {
        looked_up_[one.origin.gtid] = one.origin;
        return OkStatus();
      });
  if (!found.ok()) looked_up_.clear();
  return found;
}

OriginsRequest SourceArchiver::Origins() const {
  OriginsRequest request;
  request.server_id = options_.server_id;
  request.our_uuid = identity_.replica_uuid;
  request.heartbeat_us = options_.heartbeat_us;
  return request;
}

// From where it would begin, or a little in front of that, our last transaction is the only one
// that comes once more.
bool SourceArchiver::CanBeginWithLast(const SourceFacts& facts, const DumpRequest& request) const {
  const ResumePoint& resume = session_->resume();
  if (!resume.last) return false;
  const ArchivedOrigin& last = *resume.last;
  if (request.file.empty() || last.server_uuid != facts.server_uuid ||
      last.origin.bytes > kSentAgainBytesMax || facts.gtid_purged.Contains(last.origin.gtid))
    return false;
  if (last.source_file == request.file) return true;
  // Where nothing of the file is archived yet, in the one before it.
  const bool there = !facts.binlogs_visible ||
                     std::any_of(facts.binlogs.begin(), facts.binlogs.end(),
                                 [&](const auto& one) { return one.name == last.source_file; });
  return there && resume.place.position == 0 && last.source_file == resume.finished.file &&
         resume.finished.server_uuid == facts.server_uuid;
}

void SourceArchiver::BeginWithLast(DumpRequest* request) {
  const ArchivedOrigin& last = *session_->resume().last;
  request->file = last.source_file;
  request->position = last.source_begin;
  request->exclude.Subtract(last.origin.gtid);
  session_->ExpectLastAgain();
}

// All that we have, or know to be missing. A source refuses a replica that claims transactions of
// the source's own UUID which it has never had (sql/rpl_binlog_sender.cc, check_start_file): such
// ones of a gap are left out.
GtidSet SourceArchiver::Excluded(const SourceFacts& facts) const {
  const ResumePoint& resume = session_->resume();
  GtidSet strange = resume.missing.Minus(facts.gtid_executed).Minus(facts.gtid_owned);
  GtidSet own;
  for (const auto& [tsid, intervals] : strange.map())
    if (tsid.uuid == facts.server_uuid)
      for (const GnoInterval& interval : intervals) own.Add(tsid, interval);
  return resume.executed.Minus(own);
}

// Compares histories before anything is asked for (invariants 6 and 10). What is a recorded gap the
// archive does not have either.
Result<GapRecord> SourceArchiver::CheckHistory(const SourceFacts& facts) const {
  const GtidSet& ours = session_->resume().executed;
  // The source sends a transaction before it counts as executed there.
  const GtidSet lost =
      session_->resume().archived().Minus(facts.gtid_executed).Minus(facts.gtid_owned);
  if (!lost.empty())
    return Status(Code::kDivergence,
                  "the archive has transactions that source " + options_.source +
                      (facts.server.empty() ? "" : " (" + facts.server + ")") +
                      " does not have: " + lost.ToString(),
                  "it was rewound, restored, or promoted without them; `pitr rescue --missing-on " +
                      (facts.server.empty() ? "SERVER" : facts.server) +
                      "` lists them, and with --apply brings them back to it. To give them up, "
                      "archive it under a new name with continues = \"" +
                      options_.source + "\"");
  GapRecord gap;
  gap.missing = facts.gtid_purged.Minus(ours);
  if (facts.server_uuid == unsent_of_) gap.missing.Add(unsent_.Minus(ours));
  if (gap.missing.empty() || options_.adopt_purged) {
    gap.reason = ours.empty()
                     ? "purged by the source before its first archiving (adopt_purged = true)"
                     : "purged by the source before they could be archived (adopt_purged = true)";
    gap.noticed_us = clock_.WallMicroseconds();
    return gap;
  }
  return Status(
      Code::kGap,
      "source " + options_.source +
          (gap.missing.IsSubsetOf(facts.gtid_purged) ? " has purged" : " has left out") +
          " transactions that the archive does not have: " + gap.missing.ToString(),
      "set adopt_purged = true for this source to go on without them; they will be listed as a "
      "gap, which `pitr import` can fill");
}

void SourceArchiver::NoteUnsent() {
  if (unsent_of_ != identity_.server_uuids.back()) unsent_ = {};
  unsent_of_ = identity_.server_uuids.back();
  unsent_.Add(session_->unsent());
}

Status SourceArchiver::RememberServer(const Uuid& server_uuid) {
  if (!identity_.server_uuids.empty() && identity_.server_uuids.back() == server_uuid)
    return OkStatus();
  if (!identity_.server_uuids.empty())
    spdlog::warn("[{}] the source is another server now: {} instead of {}", options_.source,
                 server_uuid.ToString(), identity_.server_uuids.back().ToString());
  identity_.server_uuids.push_back(server_uuid);
  return archive_.WriteIdentity(options_.source, identity_);
}

// The dump begins where the archive ends, in the same file, as long as the source has that file.
// Left to itself the source would begin in the newest file that holds something we lack: it would
// skip what stands behind a file's last transaction (its Rotate) and files without transactions,
// and the archive's copies of those files would not be whole.
Status SourceArchiver::CheckPlace(const SourceFacts& facts, DumpRequest* request) const {
  const SourcePlace& place = session_->resume().place;
  const SourcePlace& finished = session_->resume().finished;
  if (finished.server_uuid == facts.server_uuid)
    for (const SourceBinlog& binlog : facts.binlogs)
      if (binlog.name == finished.file && binlog.bytes != finished.position &&
          binlog.bytes != finished.position + kBinlogEncryptionBytes)
        return Status(Code::kDivergence,
                      "source " + options_.source + " has a " + finished.file + " of " +
                          std::to_string(binlog.bytes) + " bytes, the archive a whole one of " +
                          std::to_string(finished.position),
                      "the source lost the end of it in a crash, or was set back; archive it under "
                      "a new source name");
  if (place.server_uuid != facts.server_uuid) return OkStatus();
  // Not asked for the list: then it is the source that judges the place.
  if (facts.commits_wait && !facts.binlogs_visible && !place.file.empty()) {
    request->file = place.file;
    request->position = std::max<uint64_t>(place.position, kBinlogMagicSize);
    return OkStatus();
  }
  for (const SourceBinlog& binlog : facts.binlogs) {
    if (binlog.name != place.file) continue;
    if (binlog.bytes < place.position)
      return Status(
          Code::kDivergence,
          "source " + options_.source + " has a shorter " + place.file + " (" +
              std::to_string(binlog.bytes) + " bytes) than the archive (" +
              std::to_string(place.position) + " bytes)",
          "the source's binary logs were reset or truncated; archive it under a new source name");
    request->file = place.file;
    request->position = std::max<uint64_t>(place.position, kBinlogMagicSize);
    return OkStatus();
  }
  // Purged files are older than all that are listed. One that is newer was never on this source as
  // it is now.
  const auto older = [](const std::string& a, const std::string& b) {
    // Where log_bin has another name now, the numbers say nothing.
    if (a.substr(0, a.rfind('.')) != b.substr(0, b.rfind('.'))) return false;
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  };
  if (!place.file.empty() && !facts.binlogs.empty() && older(facts.binlogs.back().name, place.file))
    return Status(Code::kDivergence,
                  "source " + options_.source + " writes " + facts.binlogs.back().name +
                      ", but the archive goes up to " + place.file,
                  "the source's binary logs were reset; archive it under a new source name");
  return OkStatus();
}

}  // namespace tidemark
