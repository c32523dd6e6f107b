#include "replication/archive/archived_origins.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "replication/event/control_events.h"
#include "replication/event/event_framer.h"

namespace tidemark {
namespace {

// Finds the Gtid events in a stretch of a segment that begins with an event.
class OriginFinder {
 public:
  OriginFinder(const SegmentReader& reader, uint64_t raw_begin, ChecksumAlgorithm checksum,
               const OnArchivedOrigin& each)
      : header_(reader.header()),
        path_(reader.path()),
        raw_offset_(raw_begin),
        checksum_(checksum),
        each_(each) {}

  Status Feed(Bytes piece) {
    while (!piece.empty()) {
      const size_t before = piece.size();
      const EventFramer::Step step = framer_.Next(&piece);
      raw_offset_ += before - piece.size();
      if (step == EventFramer::Step::kBadSize)
        return Status(Code::kCorruption,
                      path_ + ": an event of an impossible size in front of raw offset " +
                          std::to_string(raw_offset_));
      if (step == EventFramer::Step::kWhole) TM_RETURN_IF_ERROR(OnEvent(framer_.bytes()));
    }
    return OkStatus();
  }

  ChecksumAlgorithm checksum() const { return checksum_; }

 private:
  Status OnEvent(Bytes event) {
    if (framer_.header().type == EventType::kFormatDescription) {
      TM_ASSIGN_OR_RETURN(const FormatDescription description, ParseFormatDescription(event));
      checksum_ = description.checksum;
      return OkStatus();
    }
    if (short_) return OnEventInShort();
    const std::optional<TransactionOrigin> origin = OriginOf(event, checksum_);
    if (!origin) return OkStatus();
    const uint64_t begin = raw_offset_ - event.size();
    ArchivedOrigin one{*origin, header_.number, header_.server_uuid, header_.source_file,
                       header_.source_start + begin - header_.prefix_bytes};
    if (!origin->MayBeEmpty()) return each_(one);
    short_ = std::move(one);
    short_end_ = begin + origin->bytes;
    events_in_short_ = 0;
    return OkStatus();
  }

  // An empty one has two events behind its Gtid event, BEGIN and COMMIT (or Xid); no other has: DDL
  // and compressed ones have one, changes three and more.
  Status OnEventInShort() {
    ++events_in_short_;
    if (raw_offset_ < short_end_) return OkStatus();
    short_->origin.empty = events_in_short_ == 2;
    return each_(*std::exchange(short_, std::nullopt));
  }

  const SegmentHeader& header_;
  const std::string path_;
  EventFramer framer_;
  uint64_t raw_offset_;  // behind what was taken
  ChecksumAlgorithm checksum_;
  const OnArchivedOrigin& each_;
  std::optional<ArchivedOrigin> short_;  // the transaction under way, if it may be empty
  uint64_t short_end_ = 0;
  int events_in_short_ = 0;
};

// As the segment's format description says, the first event in it.
Result<ChecksumAlgorithm> ChecksumOf(SegmentReader& reader) {
  const OnArchivedOrigin enough = [](const ArchivedOrigin&) {
    return Status(Code::kInterrupted, "enough");
  };
  OriginFinder finder(reader, kBinlogMagicSize, ChecksumAlgorithm::kCrc32, enough);
  reader.SeekRaw({0, reader.frames_begin()}, kBinlogMagicSize);
  TM_ASSIGN_OR_RETURN(const Bytes piece, reader.NextRaw(reader.footer().raw_bytes));
  const Status found = finder.Feed(piece);
  if (!found.ok() && found.code() != Code::kInterrupted) return found;
  return finder.checksum();
}

// Frame by frame from the last one backwards, as long as `more` says so between two.
Status FromTheEnd(SegmentReader& reader, const OnArchivedOrigin& each,
                  const std::function<bool()>& more) {
  const SegmentFooter& footer = reader.footer();
  if (footer.transactions == 0) return OkStatus();
  TM_ASSIGN_OR_RETURN(const ChecksumAlgorithm checksum, ChecksumOf(reader));
  uint64_t end = footer.raw_bytes;
  for (size_t i = footer.frames.size(); i > 0 && more(); --i) {
    const FramePlace& frame = footer.frames[i - 1];
    const uint64_t begin = std::max<uint64_t>(frame.raw_offset, kBinlogMagicSize);
    OriginFinder finder(reader, begin, checksum, each);
    TM_RETURN_IF_ERROR(reader.ReadRaw(frame, begin, std::exchange(end, frame.raw_offset),
                                      [&](Bytes piece) { return finder.Feed(piece); }));
  }
  return OkStatus();
}

}  // namespace

Status EachOrigin(SegmentReader& reader, const OnArchivedOrigin& each) {
  OriginFinder finder(reader, kBinlogMagicSize, ChecksumAlgorithm::kCrc32, each);
  size_t magic_left = kBinlogMagicSize;
  const Status walked =
      reader.Walk({.on_block =
                       [&](Bytes bytes, uint64_t) {
                         const size_t magic = std::min(magic_left, bytes.size());
                         magic_left -= magic;
                         return finder.Feed(bytes.subspan(magic));
                       },
                   .on_frame_end = [](FramePlace, uint64_t, uint64_t) { return OkStatus(); }});
  return !reader.sealed() && walked.code() == Code::kTruncated ? OkStatus() : walked;
}

Result<std::optional<ArchivedOrigin>> LastOrigin(ArchiveDirectory& archive,
                                                 const std::string& source) {
  TM_ASSIGN_OR_RETURN(std::vector<uint64_t> numbers, archive.Segments(source));
  std::optional<ArchivedOrigin> last;
  const auto take = [&last](const ArchivedOrigin& one) {
    last = one;
    return OkStatus();
  };
  for (; !numbers.empty() && !last; numbers.pop_back()) {
    TM_ASSIGN_OR_RETURN(auto reader, OpenSegmentFile(archive, source, numbers.back()));
    TM_RETURN_IF_ERROR(reader->sealed() ? FromTheEnd(*reader, take, [&] { return !last; })
                                        : EachOrigin(*reader, take));
  }
  return last;
}

Status FindOrigins(ArchiveDirectory& archive, const std::string& source, GtidSet wanted,
                   const std::function<bool()>& give_up, const OnArchivedOrigin& each) {
  TM_ASSIGN_OR_RETURN(std::vector<uint64_t> numbers, archive.Segments(source));
  const auto take = [&](const ArchivedOrigin& one) {
    if (!wanted.Contains(one.origin.gtid)) return OkStatus();
    wanted.Subtract(one.origin.gtid);
    return each(one);
  };
  for (; !numbers.empty() && !wanted.empty(); numbers.pop_back()) {
    if (give_up && give_up()) return Status(Code::kInterrupted, "interrupted");
    const auto reader = OpenSegmentFile(archive, source, numbers.back());
    if (!reader.ok()) continue;
    if (!(*reader)->sealed()) {
      (void)EachOrigin(**reader, take);
      continue;
    }
    const GtidSet& gtids = (*reader)->footer().gtids;
    const auto more = [&] { return gtids.Intersects(wanted); };
    if (more()) (void)FromTheEnd(**reader, take, more);
  }
  return OkStatus();
}

}  // namespace tidemark
