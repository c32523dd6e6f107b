#include "tests/sim/archive_oracle.h"

#include <algorithm>

#include "index/entries.h"
#include "replication/archive/gap_room.h"
#include "replication/archive/segment_reader.h"

namespace tidemark::sim {
namespace {

Violation Say(const char* oracle, uint64_t number, const std::string& what) {
  return {oracle, "segment " + std::to_string(number) + " " + what};
}

size_t HashOf(std::string_view bytes) { return std::hash<std::string_view>()(bytes); }

Result<std::string> ReadRaw(SegmentReader& reader) {
  std::string raw;
  TM_RETURN_IF_ERROR(
      reader.Walk({.on_block =
                       [&](Bytes bytes, uint64_t) {
                         raw.append(AsText(bytes));
                         return OkStatus();
                       },
                   .on_frame_end = [](FramePlace, uint64_t, uint64_t) { return OkStatus(); }}));
  return raw;
}

}  // namespace

void ArchiveOracle::Take(const Seen& seen) {
  missing_.Add(seen.header.gap.missing);
  for (const Placed& transaction : seen.transactions) {
    archived_.Add(transaction.gtid);
    ids_[transaction.gtid] = transaction.id;
  }
}

void ArchiveOracle::Forget(size_t count) {
  if (count >= seen_.size()) return;
  seen_.resize(count);
  archived_ = missing_ = {};
  ids_.clear();
  for (const Seen& seen : seen_) Take(seen);
}

bool ArchiveOracle::DivergesFrom(const Server& server) const {
  for (const auto& [gtid, id] : ids_) {
    const auto found = server.ids().find(gtid);
    if (found == server.ids().end() || found->second != id) return true;
  }
  return false;
}

bool ArchiveOracle::HasOtherFilesThan(const Server& server) const {
  const auto has = [&](const Seen& seen) {
    const uint64_t begin = seen.header.source_start;
    return std::any_of(server.all_files().begin(), server.all_files().end(), [&](const auto& file) {
      return file->name == seen.header.source_file && file->bytes.size() >= seen.source_end &&
             HashOf(std::string_view(file->bytes).substr(begin, seen.source_end - begin)) ==
                 seen.source_hash;
    });
  };
  return std::any_of(seen_.begin(), seen_.end(), [&](const Seen& seen) {
    return seen.header.server_uuid == server.uuid() && !has(seen);
  });
}

std::shared_ptr<Server> ArchiveOracle::LastServer() const {
  return seen_.empty() ? nullptr : seen_.back().server;
}

Verdict ArchiveOracle::Check(Index* index, bool gaps_allowed) {
  ArchiveDirectory archive(disk_, kArchive);
  auto numbers = archive.Segments(kSource);
  if (!numbers.ok()) return Violation{"archive reads", numbers.error().message()};
  Forget(numbers->size());
  for (size_t i = 0; i < numbers->size(); ++i) {
    const std::string* stored = disk_.Contents(archive.SegmentPath(kSource, (*numbers)[i]));
    if (i < seen_.size() && seen_[i].stored == *stored) continue;
    Forget(i);
    Seen seen;
    seen.stored = *stored;
    if (Verdict verdict = CheckSegment((*numbers)[i], gaps_allowed, &seen)) return verdict;
    Take(seen);
    seen_.push_back(std::move(seen));
  }
  if (index == nullptr) return std::nullopt;
  for (size_t i = 0; i < seen_.size(); ++i)
    if (Verdict verdict = CheckIndex(*index, (*numbers)[i], seen_[i])) return verdict;
  auto known = index->Segments(kSource);
  if (!known.ok()) return Violation{"index equals rebuild", known.error().message()};
  if (known->size() != seen_.size())
    return Violation{"index equals rebuild", "it holds " + std::to_string(known->size()) +
                                                 " segments of " + std::to_string(seen_.size())};
  return std::nullopt;
}

Verdict ArchiveOracle::CheckSegment(uint64_t number, bool gaps_allowed, Seen* seen) {
  ArchiveDirectory archive(disk_, kArchive);
  const std::string path = archive.SegmentPath(kSource, number);
  auto reader = SegmentReader::Open(disk_, path);
  if (!reader.ok()) return Violation{"segments decode", reader.error().message()};
  if (!(*reader)->sealed()) return Say("segments decode", number, "is not sealed");
  seen->header = (*reader)->header();
  if (seen->header.number != number) return Say("segments decode", number, "has another's number");
  auto raw = ReadRaw(**reader);
  if (!raw.ok()) return Violation{"segments decode", raw.error().message()};
  const int64_t before = seen_.empty() ? 0 : seen_.back().commit_high_us;
  if (Verdict verdict = CheckHeader(*seen, gaps_allowed)) return verdict;
  if (Verdict verdict = CheckBytes(number, *raw, seen)) return verdict;

  // The product's own reading: everything that the footer says, and what an index must hold.
  auto scanned = ScanSegment(disk_, path, kSource, before);
  if (!scanned.ok()) return Violation{"footers agree", scanned.error().message()};
  GtidSet gtids;
  for (const Placed& transaction : seen->transactions) gtids.Add(transaction.gtid);
  if (scanned->segment.gtids != gtids || (*reader)->footer().gtids != gtids)
    return Say(
        "footers agree", number,
        "says it holds " + scanned->segment.gtids.ToString() + ", but holds " + gtids.ToString());
  seen->commit_high_us = scanned->segment.commit_high_us;
  seen->entries = BatchEntries(*scanned);
  return std::nullopt;
}

Verdict ArchiveOracle::CheckHeader(const Seen& seen, bool gaps_allowed) const {
  const SegmentHeader& header = seen.header;
  const GtidSet& gap = header.gap.missing;
  const GtidSet so_far = archived_.Union(missing_);
  const uint64_t follows = seen_.empty() ? 1 : seen_.back().header.number + 1;
  if (header.number != follows + (gap.empty() ? 0 : kSegmentNumbersPerGap))
    return Say("no silent gap", header.number, "leaves no room for its gap, or for none");
  if (header.previous != so_far.Union(gap) || gap.Intersects(archived_))
    return Say("no silent gap", header.number,
               "goes on behind " + header.previous.ToString() + ", but before it are " +
                   so_far.ToString() + " and the gap " + gap.ToString());
  if (gap.empty()) return std::nullopt;
  if (!gaps_allowed)
    return Say("no silent gap", header.number, "adopts a gap without having been told to");
  if (header.gap.reason.empty())
    return Say("no silent gap", header.number, "has a gap without a reason");
  GtidSet purged;  // by one after the other, before anything else could be archived
  for (const auto& server : servers_) purged.Add(server->purged());
  if (gap.IsSubsetOf(purged)) return std::nullopt;
  return Say("no silent gap", header.number,
             "gives up what no source has purged: " + gap.ToString());
}

// The server whose bytes these are, and whose history has everything archived before: of one that
// was set back, both incarnations may fit.
Verdict ArchiveOracle::CheckBytes(uint64_t number, const std::string& raw, Seen* seen) const {
  const SegmentHeader& header = seen->header;
  const std::string_view own = std::string_view(raw).substr(header.prefix_bytes);
  const uint64_t begin = header.source_start;
  seen->source_end = begin + own.size();
  seen->source_hash = HashOf(own);
  Verdict verdict =
      Say("byte-exact", number,
          "has other bytes than " + header.source_file + " at " + std::to_string(begin));
  for (auto server = servers_.rbegin(); server != servers_.rend(); ++server) {
    if ((*server)->uuid() != header.server_uuid) continue;
    for (const auto& file : (*server)->all_files()) {
      if (file->name != header.source_file || file->bytes.size() < begin + own.size() ||
          std::string_view(file->bytes).substr(begin, own.size()) != own)
        continue;
      if (!verdict || verdict->oracle == "byte-exact" || verdict->oracle == "divergence refused") {
        if (DivergesFrom(**server)) {
          verdict = Say("divergence refused", number,
                        "is of a history that has not all that was archived before");
          continue;
        }
      }
      Verdict ranged = CheckRange(*file, begin, begin + own.size(), seen);
      if (!ranged) {
        seen->server = *server;
        return std::nullopt;
      }
      verdict = ranged;
    }
  }
  return verdict;
}

Verdict ArchiveOracle::CheckRange(const LogFile& file, uint64_t begin, uint64_t end,
                                  Seen* seen) const {
  const uint64_t number = seen->header.number;
  seen->transactions.clear();
  GtidSet before = file.previous;
  for (const Placed& transaction : file.transactions) {
    if (transaction.end <= begin) before.Add(transaction.gtid);
    if (transaction.end <= begin || transaction.begin >= end) continue;
    if (transaction.begin < begin || transaction.end > end)
      return Say("whole transactions", number, "holds a part of " + transaction.gtid.ToString());
    if (archived_.Contains(transaction.gtid))
      return Say("none twice", number, "repeats " + transaction.gtid.ToString());
    seen->transactions.push_back(transaction);
  }
  const GtidSet skipped = before.Minus(seen->header.previous);
  if (!skipped.empty()) return Say("no silent gap", number, "skips " + skipped.ToString());
  return std::nullopt;
}

Verdict ArchiveOracle::CheckIndex(Index& index, uint64_t number, const Seen& seen) const {
  auto entries = index.SegmentContentsOf(kSource, number);
  if (!entries.ok()) return Violation{"index equals rebuild", entries.error().message()};
  std::sort(entries->begin(), entries->end(),
            [](const IndexEntry& a, const IndexEntry& b) { return a.KeyLess(b); });
  if (*entries == seen.entries) return std::nullopt;
  for (size_t i = 0; i < std::max(entries->size(), seen.entries.size()); ++i) {
    const bool have = i < entries->size();
    const bool want = i < seen.entries.size();
    if (have && want && (*entries)[i] == seen.entries[i]) continue;
    return Say("index equals rebuild", number,
               "is indexed as " + (have ? DescribeEntry((*entries)[i]) : "nothing") +
                   ", a rebuild gives " + (want ? DescribeEntry(seen.entries[i]) : "nothing"));
  }
  return std::nullopt;
}

}  // namespace tidemark::sim
