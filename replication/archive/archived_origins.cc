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
  using Each = std::function<Status(const ArchivedOrigin&)>;

  OriginFinder(const SegmentReader& reader, uint64_t raw_begin, ChecksumAlgorithm checksum,
               const Each& each)
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
    const std::optional<TransactionOrigin> origin = OriginOf(event, checksum_);
    if (!origin) return OkStatus();
    const uint64_t begin = raw_offset_ - event.size();
    return each_({*origin, header_.server_uuid, header_.source_file,
                  header_.source_start + begin - header_.prefix_bytes});
  }

  const SegmentHeader& header_;
  const std::string path_;
  EventFramer framer_;
  uint64_t raw_offset_;  // behind what was taken
  ChecksumAlgorithm checksum_;
  const Each& each_;
};

// As the segment's format description says, the first event in it.
Result<ChecksumAlgorithm> ChecksumOf(SegmentReader& reader) {
  const OriginFinder::Each enough = [](const ArchivedOrigin&) {
    return Status(Code::kInterrupted, "enough");
  };
  OriginFinder finder(reader, kBinlogMagicSize, ChecksumAlgorithm::kCrc32, enough);
  reader.SeekRaw({0, reader.frames_begin()}, kBinlogMagicSize);
  TM_ASSIGN_OR_RETURN(const Bytes piece, reader.NextRaw(reader.footer().raw_bytes));
  const Status found = finder.Feed(piece);
  if (!found.ok() && found.code() != Code::kInterrupted) return found;
  return finder.checksum();
}

class LastFinder {
 public:
  explicit LastFinder(const GtidSet* among) : among_(among) {}

  Status InSealed(SegmentReader& reader) {
    const SegmentFooter& footer = reader.footer();
    if (among_ != nullptr && !footer.gtids.Intersects(*among_)) return OkStatus();
    if (footer.transactions == 0) return OkStatus();
    TM_ASSIGN_OR_RETURN(const ChecksumAlgorithm checksum, ChecksumOf(reader));
    uint64_t end = footer.raw_bytes;
    for (size_t i = footer.frames.size(); i > 0 && !last_; --i) {
      const FramePlace& frame = footer.frames[i - 1];
      const uint64_t begin = std::max<uint64_t>(frame.raw_offset, kBinlogMagicSize);
      OriginFinder finder(reader, begin, checksum, take_);
      TM_RETURN_IF_ERROR(reader.ReadRaw(frame, begin, std::exchange(end, frame.raw_offset),
                                        [&](Bytes piece) { return finder.Feed(piece); }));
    }
    return OkStatus();
  }

  Status InUnsealed(SegmentReader& reader) { return EachOrigin(reader, take_); }

  std::optional<ArchivedOrigin> TakeLast() { return std::move(last_); }
  bool found() const { return last_.has_value(); }

 private:
  const GtidSet* const among_;
  std::optional<ArchivedOrigin> last_;
  const OriginFinder::Each take_ = [this](const ArchivedOrigin& one) {
    if (among_ == nullptr || among_->Contains(one.origin.gtid)) last_ = one;
    return OkStatus();
  };
};

}  // namespace

Status EachOrigin(SegmentReader& reader, const std::function<Status(const ArchivedOrigin&)>& each) {
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
                                                 const std::string& source, const GtidSet* among) {
  TM_ASSIGN_OR_RETURN(std::vector<uint64_t> numbers, archive.Segments(source));
  LastFinder finder(among);
  for (; !numbers.empty() && !finder.found(); numbers.pop_back()) {
    TM_ASSIGN_OR_RETURN(
        auto reader,
        SegmentReader::Open(archive.files(), archive.SegmentPath(source, numbers.back())));
    TM_RETURN_IF_ERROR(reader->sealed() ? finder.InSealed(*reader) : finder.InUnsealed(*reader));
  }
  return finder.TakeLast();
}

}  // namespace tidemark
