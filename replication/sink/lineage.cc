#include "replication/sink/lineage.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "replication/archive/segment_catalog.h"
#include "replication/archive/segment_reader.h"
#include "replication/base/copy_file.h"
#include "replication/event/stream_scanner.h"

namespace tidemark {
namespace {

// A segment that is written anew: it ends where the histories part, or nobody has sealed it, or
// only just.
struct CutSegment {
  uint64_t number = 0;
  uint64_t raw_end = 0;
  int64_t commit_high_us = 0;  // of the archive before it
};

struct Shared {
  std::vector<uint64_t> whole;  // to be linked
  std::optional<CutSegment> cut;
  SourceFork fork;
  std::vector<Uuid> servers;  // whose bytes these are, in order of appearance
  std::vector<SourceFork> parents_forks;
};

Status GivenUp() { return Status(Code::kInterrupted, "interrupted while a lineage was begun"); }

// Feeds the raw bytes up to `raw_end` to `on_piece`.
Status EachPiece(SegmentReader& reader, uint64_t raw_end, const std::function<bool()>& give_up,
                 const std::function<Status(Bytes)>& on_piece) {
  reader.SeekRaw({0, reader.frames_begin()}, 0);
  for (;;) {
    if (give_up && give_up()) return GivenUp();
    TM_ASSIGN_OR_RETURN(const Bytes piece, reader.NextRaw(raw_end));
    if (piece.empty()) return OkStatus();
    TM_RETURN_IF_ERROR(on_piece(piece));
  }
}

// What one segment of the parent's holds.
struct Contents {
  GtidSet gtids;
  uint64_t raw_bytes = 0;
  int64_t commit_high_us = 0;
  // The first transaction that is not shared, if there is one: where it begins, and whether one
  // that is shared stands before it.
  std::optional<uint64_t> fork_at;
  bool shares_any = false;
};

class ForkSearch {
 public:
  ForkSearch(ArchiveDirectory& archive, const LineageBeginning& beginning)
      : archive_(archive), beginning_(beginning) {}

  Result<Shared> Run() {
    TM_ASSIGN_OR_RETURN(const std::vector<uint64_t> numbers, archive_.Segments(beginning_.parent));
    TM_ASSIGN_OR_RETURN(SourceIdentity parent, archive_.ReadIdentity(beginning_.parent));
    shared_.parents_forks = std::move(parent.forks);
    for (const uint64_t number : numbers) {
      if (beginning_.give_up && beginning_.give_up()) return GivenUp();
      TM_RETURN_IF_ERROR(Take(number, number == numbers.back()));
    }
    if (transactions_ == 0) return NothingInCommon();
    return std::move(shared_);
  }

 private:
  Status Take(uint64_t number, bool last) {
    const std::string path = archive_.SegmentPath(beginning_.parent, number);
    auto opened = SegmentReader::Open(archive_.files(), path);
    // A segment that its archiver has just begun, or thrown away because nothing came.
    if (!opened.ok() && last && opened.error().code() != Code::kIo) return OkStatus();
    if (!opened.ok()) return opened.error();
    SegmentReader& reader = **opened;
    TM_RETURN_IF_ERROR(
        CheckSegmentIsOf(beginning_.parent, shared_.parents_forks, number, path, reader.header()));
    if (!reader.sealed() && !last)
      return Status(Code::kCorruption, path + " is not sealed, although another segment follows it",
                    "pitr verify tells what is in it");
    TM_ASSIGN_OR_RETURN(const Contents contents, Read(reader));
    if (contents.raw_bytes == 0) return OkStatus();
    if (!begun_) shared_.fork.set = reader.header().previous;
    const bool goes_on = !parted_ && reader.header().gap.missing.IsSubsetOf(beginning_.executed) &&
                         shared_.fork.set.IsSubsetOf(beginning_.executed);
    begun_ = true;
    shared_.fork.lost.Add(contents.gtids.Minus(beginning_.executed));
    if (goes_on && (!contents.fork_at || contents.shares_any)) Share(reader, contents, last);
    parted_ = parted_ || !goes_on || contents.fork_at;
    return OkStatus();
  }

  // A sealed segment of which the new source has all need not be read: its footer says so.
  Result<Contents> Read(SegmentReader& reader) const {
    Contents contents;
    if (reader.sealed()) {
      const SegmentFooter& footer = reader.footer();
      contents.gtids = footer.gtids;
      contents.raw_bytes = footer.raw_bytes;
      contents.commit_high_us = footer.commit_high_us;
      contents.shares_any = footer.transactions > 0;
      if (parted_ || footer.gtids.IsSubsetOf(beginning_.executed)) return contents;
      contents.shares_any = false;
    } else {
      if (!beginning_.hooks.published) return contents;
      TM_ASSIGN_OR_RETURN(contents.raw_bytes,
                          beginning_.hooks.published(beginning_.parent, reader.header().number));
    }
    StreamScanner scanner(ScannerOptions{.count_rows = false, .expect_magic = true});
    const auto on_event = [&](const ScannedEvent& event) {
      if (event.finished == nullptr) return OkStatus();
      contents.gtids.Add(event.finished->gtid);
      if (contents.fork_at) return OkStatus();
      if (beginning_.executed.Contains(event.finished->gtid))
        contents.shares_any = true;
      else
        contents.fork_at = event.finished->begin_offset;
      return OkStatus();
    };
    TM_RETURN_IF_ERROR(EachPiece(reader, contents.raw_bytes, beginning_.give_up,
                                 [&](Bytes piece) { return scanner.FeedBytes(piece, on_event); }));
    return contents;
  }

  void Share(const SegmentReader& reader, const Contents& contents, bool last) {
    const SegmentHeader& header = reader.header();
    const uint64_t raw_end = contents.fork_at.value_or(contents.raw_bytes);
    if (contents.fork_at || last)
      shared_.cut = CutSegment{header.number, raw_end, commit_high_us_};
    else
      shared_.whole.push_back(header.number);
    commit_high_us_ = std::max(commit_high_us_, contents.commit_high_us);
    transactions_ += contents.shares_any ? 1 : 0;
    shared_.fork.segment = header.number;
    shared_.fork.set.Add(header.gap.missing);
    if (!contents.fork_at) shared_.fork.set.Add(contents.gtids);
    if (shared_.servers.empty() || shared_.servers.back() != header.server_uuid)
      shared_.servers.push_back(header.server_uuid);
  }

  Status NothingInCommon() const {
    return Status(Code::kDivergence,
                  "source " + beginning_.source +
                      (beginning_.server.empty() ? "" : " (" + beginning_.server + ")") +
                      " has nothing in common with the archive of " + beginning_.parent +
                      (begun_ ? ": its history does not begin as that one does"
                              : ", which holds no transaction yet"),
                  "leave `continues` out, and it is archived from its own beginning");
  }

  ArchiveDirectory& archive_;
  const LineageBeginning& beginning_;
  Shared shared_;
  int64_t commit_high_us_ = 0;
  uint64_t transactions_ = 0;  // segments that have any
  bool begun_ = false;         // a segment was seen
  bool parted_ = false;        // the fork is behind us
};

// Raw bytes of a segment, from its first on, to a writer that has its prefix already.
class RawCopy {
 public:
  RawCopy(SegmentWriter& writer, const SegmentHeader& header, int64_t commit_high_us)
      : writer_(writer),
        prefix_bytes_(header.prefix_bytes),
        catalog_(header, commit_high_us),
        scanner_(ScannerOptions{.count_rows = false, .expect_magic = true}),
        written_(prefix_bytes_) {}

  Status Take(Bytes piece) {
    piece_ = piece;
    TM_RETURN_IF_ERROR(
        scanner_.FeedBytes(piece, [this](const ScannedEvent& event) { return OnEvent(event); }));
    TM_RETURN_IF_ERROR(WriteUntil(begin_ + piece.size()));
    begin_ += piece.size();
    return OkStatus();
  }

  Result<SegmentFooter> Finish() const {
    TM_RETURN_IF_ERROR(scanner_.Finish());
    return catalog_.FooterSoFar();
  }

 private:
  Status OnEvent(const ScannedEvent& event) {
    catalog_.OnEvent(event);
    const uint64_t end = event.offset + event.header.size;
    if (end <= prefix_bytes_ || !catalog_.FrameMayEnd()) return OkStatus();
    TM_RETURN_IF_ERROR(WriteUntil(end));
    TM_RETURN_IF_ERROR(writer_.EndFrame());
    catalog_.EndFrame(end);
    return OkStatus();
  }

  // Up to raw offset `end`, which is in the piece in hand.
  Status WriteUntil(uint64_t end) {
    if (end <= written_) return OkStatus();
    const uint64_t from = std::exchange(written_, end);
    return writer_.Append(piece_.subspan(from - begin_, end - from));
  }

  SegmentWriter& writer_;
  const uint64_t prefix_bytes_;
  SegmentCatalog catalog_;
  StreamScanner scanner_;
  Bytes piece_;
  uint64_t begin_ = 0;  // raw offset of piece_
  uint64_t written_;    // raw offset
};

class LineageMaker {
 public:
  LineageMaker(ArchiveDirectory& archive, Clock& clock, const LineageBeginning& beginning)
      : archive_(archive), files_(archive.files()), clock_(clock), beginning_(beginning) {}

  // Whatever an earlier attempt has left is thrown away, if it is known for one.
  Status Clear() {
    const std::string& source = beginning_.source;
    TM_RETURN_IF_ERROR(archive_.CreateDirectories(source));
    const std::string segments = archive_.SegmentsPath(source);
    TM_ASSIGN_OR_RETURN(const std::vector<std::string> names, files_.List(segments));
    const std::string mark = archive_.LineageMarkPath(source);
    if (!names.empty() && !files_.Exists(mark))
      return Status(Code::kCorruption,
                    segments + " holds segments, but source " + source + " has no identity",
                    "restore its identity file from a copy, or give the new source another name");
    TM_RETURN_IF_ERROR(WriteSmallFileDurably(files_, mark, beginning_.parent + "\n"));
    for (const std::string& name : names)
      TM_RETURN_IF_ERROR(files_.Remove(JoinPath(segments, name)));
    return files_.SyncDirectory(segments);
  }

  Status Fill(Shared* shared) {
    for (const uint64_t number : shared->whole) {
      if (beginning_.give_up && beginning_.give_up()) return GivenUp();
      TM_RETURN_IF_ERROR(LinkOrCopy(number));
    }
    if (shared->cut) TM_RETURN_IF_ERROR(WriteUpTo(*shared->cut, &shared->fork.set));
    TM_RETURN_IF_ERROR(files_.SyncDirectory(archive_.SegmentsPath(beginning_.source)));
    return beginning_.hooks.shared ? beginning_.hooks.shared(beginning_.parent, shared->whole)
                                   : OkStatus();
  }

  Status Finish(Shared& shared) {
    SourceIdentity identity;
    identity.replica_uuid = ArchiveDirectory::NewReplicaUuid();
    identity.server_uuids = std::move(shared.servers);
    identity.forks = std::move(shared.parents_forks);
    for (SourceFork& older : identity.forks) Clip(shared.fork, &older);
    shared.fork.parent = beginning_.parent;
    shared.fork.at_us = clock_.WallMicroseconds();
    identity.forks.push_back(shared.fork);
    TM_RETURN_IF_ERROR(archive_.WriteIdentity(beginning_.source, identity));
    return archive_.CreateSource(beginning_.source);  // takes the mark away
  }

 private:
  // What we share with the parent's own parents ends, at the latest, where the parent ends for us.
  static void Clip(const SourceFork& fork, SourceFork* older) {
    older->segment = std::min(older->segment, fork.segment);
    older->set = older->set.Intersection(fork.set);
  }

  Status LinkOrCopy(uint64_t number) {
    const std::string from = archive_.SegmentPath(beginning_.parent, number);
    const std::string to = archive_.SegmentPath(beginning_.source, number);
    if (files_.Link(from, to).ok()) return OkStatus();
    const Status copied = CopyDurably(files_, from, to, beginning_.give_up);
    return copied.code() == Code::kInterrupted ? GivenUp() : copied;
  }

  // The same header and bytes, up to the fork, and a footer of our own. Its transactions go to
  // `set`.
  Status WriteUpTo(const CutSegment& cut, GtidSet* set) {
    TM_ASSIGN_OR_RETURN(auto reader, OpenSegmentFile(archive_, beginning_.parent, cut.number));
    const SegmentHeader& header = reader->header();
    std::string prefix;
    TM_RETURN_IF_ERROR(reader->ReadRaw({0, reader->frames_begin()}, 0, header.prefix_bytes,
                                       [&prefix](Bytes piece) {
                                         prefix.append(AsText(piece));
                                         return OkStatus();
                                       }));
    TM_ASSIGN_OR_RETURN(
        auto writer,
        SegmentWriter::Create(files_, archive_.SegmentPath(beginning_.source, cut.number), header,
                              AsBytes(prefix), beginning_.writer));
    RawCopy copy(*writer, header, cut.commit_high_us);
    TM_RETURN_IF_ERROR(EachPiece(*reader, cut.raw_end, beginning_.give_up,
                                 [&copy](Bytes piece) { return copy.Take(piece); }));
    TM_ASSIGN_OR_RETURN(SegmentFooter footer, copy.Finish());
    footer.reason = SealReason::kSourceChange;
    footer.sealed_us = clock_.WallMicroseconds();
    set->Add(footer.gtids);
    const Result<uint64_t> sealed = writer->Seal(std::move(footer));
    return sealed.ok() ? OkStatus() : sealed.error();
  }

  ArchiveDirectory& archive_;
  FileSystem& files_;
  Clock& clock_;
  const LineageBeginning& beginning_;
};

}  // namespace

Result<bool> LineageIsBegun(ArchiveDirectory& archive, const std::string& source,
                            const std::string& parent) {
  if (!archive.HasIdentity(source)) return false;
  TM_ASSIGN_OR_RETURN(const SourceIdentity identity, archive.ReadIdentity(source));
  if (!identity.forks.empty() && identity.forks.back().parent == parent) return true;
  return Status(Code::kUsage,
                "source " + source + " is in the archive already, and " +
                    (identity.forks.empty() ? "continues no other one"
                                            : "continues " + identity.forks.back().parent) +
                    ", not " + parent,
                "a source continues another one from its first contact on: give it a new name, or "
                "leave `continues` out");
}

Result<SourceFork> BeginLineage(ArchiveDirectory& archive, Clock& clock,
                                const LineageBeginning& beginning) {
  if (!archive.HasIdentity(beginning.parent))
    return Status(Code::kNotFound,
                  "source " + beginning.source + " is to continue " + beginning.parent +
                      ", and there is no such source in " + archive.root(),
                  "continues = the name of a source that the archive has");
  TM_ASSIGN_OR_RETURN(Shared shared, ForkSearch(archive, beginning).Run());
  LineageMaker maker(archive, clock, beginning);
  TM_RETURN_IF_ERROR(maker.Clear());
  TM_RETURN_IF_ERROR(maker.Fill(&shared));
  TM_RETURN_IF_ERROR(maker.Finish(shared));
  return std::move(shared.fork);
}

}  // namespace tidemark
