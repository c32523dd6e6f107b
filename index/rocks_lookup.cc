// Look-ups: each is a fixed number of seeks, whatever the archive's size (FindPosition: plus one
// step per later segment of the same source file, and a binary search over the frames of one
// segment).
#include <algorithm>

#include "index/rocks_index.h"

namespace tidemark {
namespace {

using FoundFrame = Result<std::optional<IndexedFrame>>;

// A record led to another one that is not there.
Status Dangling(const Database& database, const std::string& what) {
  return {Code::kCorruption, "index " + database.path() + " lacks " + what, kIndexRebuildHint};
}

std::string FrameName(const std::string& source, uint64_t segment, uint32_t frame) {
  return "frame " + std::to_string(frame) + " of segment " + std::to_string(segment) + " of " +
         source;
}

// A segment may be dropped and scanned anew between the two steps of a look-up: then the second try
// sees one state or the other. What dangles twice is damage.
template <typename Find>
FoundFrame Twice(const Find& find) {
  FoundFrame found = find();
  if (!found.has_value() && found.error().code() == Code::kCorruption) found = find();
  return found;
}

Result<IndexedFrame> MustLoadFrame(const Database& database, const std::string& source,
                                   uint64_t segment, uint32_t frame) {
  TM_ASSIGN_OR_RETURN(auto found, LoadFrame(database, source, segment, frame));
  if (!found.has_value()) return Dangling(database, FrameName(source, segment, frame));
  return std::move(*found);
}

FoundFrame Found(Result<IndexedFrame> frame) {
  if (!frame.has_value()) return frame.error();
  return std::optional<IndexedFrame>(std::move(*frame));
}

FoundFrame FindGtidIn(const Database& database, const std::string& source, const Gtid& gtid) {
  TM_ASSIGN_OR_RETURN(const auto record,
                      LastUpTo(database, Family::kGtid, GtidPrefix(source, gtid.tsid),
                               GtidKey(source, gtid.tsid, gtid.gno)));
  if (!record.has_value()) return std::optional<IndexedFrame>();
  TM_ASSIGN_OR_RETURN(const GtidKeyFields key, DecodeGtidKey(record->key));
  TM_ASSIGN_OR_RETURN(const GtidPlace place, DecodeGtidValue(key.first, record->value));
  if (gtid.gno > place.last) return std::optional<IndexedFrame>();
  return Found(MustLoadFrame(database, source, place.segment, place.frame));
}

FoundFrame FindFirstPastIn(const Database& database, const std::string& source, int64_t time_us) {
  if (time_us == INT64_MAX) return std::optional<IndexedFrame>();
  TM_ASSIGN_OR_RETURN(const auto record, FirstFrom(database, Family::kTime, SourcePrefix(source),
                                                   TimeKey(source, time_us + 1, 0, 0)));
  if (!record.has_value()) return std::optional<IndexedFrame>();
  TM_ASSIGN_OR_RETURN(const TimeKeyFields key, DecodeTimeKey(record->key));
  return Found(MustLoadFrame(database, source, key.segment, key.frame));
}

// The segment of the latest file of that name which begins at or before `position`. Backwards from
// the file's last segment: within one file, starts only grow and the server is the same; where that
// breaks, an older file begins.
Result<std::optional<uint64_t>> SegmentBefore(const Database& database, const std::string& source,
                                              const std::string& file, uint64_t position) {
  const std::string prefix = PositionPrefix(source, file);
  const auto iterator = database.Iterate(Family::kPosition);
  const std::string last = PositionKey(source, file, UINT64_MAX);
  std::optional<PositionPlace> later;
  for (iterator->SeekForPrev(last); iterator->Valid() && iterator->key().starts_with(prefix);
       iterator->Prev()) {
    TM_ASSIGN_OR_RETURN(const PositionKeyFields key,
                        DecodePositionKey(iterator->key().ToStringView()));
    // Prefixes have lengths in front, so that no other file's key can begin like this; the decoder
    // agrees or refuses.
    TM_ASSIGN_OR_RETURN(const PositionPlace place,
                        DecodePositionValue(iterator->value().ToStringView()));
    if (later.has_value() &&
        (place.server_uuid != later->server_uuid || place.source_start >= later->source_start)) {
      break;
    }
    if (place.source_start <= position) return std::optional<uint64_t>(key.segment);
    later = place;
  }
  TM_RETURN_IF_ERROR(database.ToStatus(iterator->status()));
  return std::optional<uint64_t>();
}

// The last frame that begins at or before `raw_offset`: binary search, since frames are numbered
// from 0.
FoundFrame FrameAt(const Database& database, const std::string& source, uint64_t segment,
                   uint64_t raw_offset) {
  TM_ASSIGN_OR_RETURN(const auto last,
                      LastUpTo(database, Family::kFrame, SegmentPrefix(source, segment),
                               FrameKey(source, segment, UINT32_MAX)));
  if (!last.has_value()) return Dangling(database, FrameName(source, segment, 0));
  TM_ASSIGN_OR_RETURN(const FrameKeyFields key, DecodeFrameKey(last->key));
  uint32_t low = 0;
  uint32_t high = key.frame;
  while (low < high) {
    const uint32_t middle = high - (high - low) / 2;
    TM_ASSIGN_OR_RETURN(const auto frame, MustLoadFrame(database, source, segment, middle));
    if (frame.record.place.raw_offset <= raw_offset) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return Found(MustLoadFrame(database, source, segment, low));
}

FoundFrame FindPositionIn(const Database& database, const std::string& source,
                          const std::string& file, uint64_t position) {
  TM_ASSIGN_OR_RETURN(const auto number, SegmentBefore(database, source, file, position));
  if (!number.has_value()) return std::optional<IndexedFrame>();
  TM_ASSIGN_OR_RETURN(const auto segment, LoadSegment(database, source, *number));
  if (!segment.has_value()) {
    return Dangling(database, "segment " + std::to_string(*number) + " of " + source);
  }
  const uint64_t into_range = position - segment->header.source_start;
  if (segment->raw_bytes <= segment->header.prefix_bytes ||
      into_range >= segment->raw_bytes - segment->header.prefix_bytes) {
    return std::optional<IndexedFrame>();
  }
  return FrameAt(database, source, *number, segment->header.prefix_bytes + into_range);
}

Result<SegmentRecord> AssembleSegment(uint64_t number, std::string_view header,
                                      std::string_view extent) {
  SegmentRecord segment;
  TM_ASSIGN_OR_RETURN(segment.header, DecodeHeaderValue(number, header));
  TM_RETURN_IF_ERROR(DecodeExtentValue(extent, &segment));
  return segment;
}

}  // namespace

Result<std::optional<SegmentRecord>> LoadSegment(const Database& database,
                                                 const std::string& source, uint64_t segment) {
  TM_ASSIGN_OR_RETURN(
      const auto header,
      database.Get(Family::kSegment, SegmentKey(source, segment, SegmentPart::kHeader)));
  TM_ASSIGN_OR_RETURN(
      const auto extent,
      database.Get(Family::kSegment, SegmentKey(source, segment, SegmentPart::kExtent)));
  if (!header.has_value() || !extent.has_value()) return std::optional<SegmentRecord>();
  TM_ASSIGN_OR_RETURN(SegmentRecord record, AssembleSegment(segment, *header, *extent));
  return std::optional<SegmentRecord>(std::move(record));
}

FoundFrame LoadFrame(const Database& database, const std::string& source, uint64_t segment,
                     uint32_t frame) {
  TM_ASSIGN_OR_RETURN(const auto value,
                      database.Get(Family::kFrame, FrameKey(source, segment, frame)));
  if (!value.has_value()) return std::optional<IndexedFrame>();
  TM_ASSIGN_OR_RETURN(FrameRecord record, DecodeFrameValue(frame, *value));
  return std::optional<IndexedFrame>(IndexedFrame{segment, std::move(record)});
}

Result<std::vector<std::string>> RocksIndex::Sources() {
  const auto database = this->database();
  std::vector<std::string> sources;
  std::string from;
  for (;;) {
    TM_ASSIGN_OR_RETURN(const auto record, FirstFrom(*database, Family::kSegment, {}, from));
    if (!record.has_value()) break;
    TM_ASSIGN_OR_RETURN(SegmentKeyFields key, DecodeSegmentKey(record->key));
    from = SegmentKey(key.source, UINT64_MAX, SegmentPart::kExtent) + '\0';
    sources.push_back(std::move(key.source));
  }
  std::sort(sources.begin(), sources.end());  // keys sort by length first
  return sources;
}

Result<std::vector<SegmentRecord>> RocksIndex::Segments(const std::string& source) {
  const auto database = this->database();
  std::vector<SegmentRecord> segments;
  std::optional<Record> header;
  const std::string prefix = SourcePrefix(source);
  TM_RETURN_IF_ERROR(EachRecord(
      *database, Family::kSegment, prefix, prefix,
      [&](std::string_view key, std::string_view value) -> Status {
        TM_ASSIGN_OR_RETURN(const SegmentKeyFields fields, DecodeSegmentKey(key));
        if (fields.part == SegmentPart::kHeader) {
          header = Record{std::string(key), std::string(value)};
          return OkStatus();
        }
        if (!header.has_value() ||
            header->key != SegmentKey(source, fields.segment, SegmentPart::kHeader)) {
          return Dangling(*database, "the header of segment " + std::to_string(fields.segment));
        }
        TM_ASSIGN_OR_RETURN(SegmentRecord record,
                            AssembleSegment(fields.segment, header->value, value));
        segments.push_back(std::move(record));
        return OkStatus();
      }));
  return segments;
}

Result<std::optional<SegmentRecord>> RocksIndex::Segment(const std::string& source,
                                                         uint64_t segment) {
  return LoadSegment(*database(), source, segment);
}

Result<std::optional<SegmentRecord>> RocksIndex::LastSegment(const std::string& source) {
  const auto database = this->database();
  TM_ASSIGN_OR_RETURN(const auto last,
                      LastUpTo(*database, Family::kSegment, SourcePrefix(source),
                               SegmentKey(source, UINT64_MAX, SegmentPart::kExtent)));
  if (!last.has_value()) return std::optional<SegmentRecord>();
  TM_ASSIGN_OR_RETURN(const SegmentKeyFields key, DecodeSegmentKey(last->key));
  return LoadSegment(*database, source, key.segment);
}

FoundFrame RocksIndex::FindGtid(const std::string& source, const Gtid& gtid) {
  if (gtid.gno < 1 || gtid.gno > kGnoMax || gtid.tsid.tag.size() > kGtidTagBytesMax) {
    return std::optional<IndexedFrame>();
  }
  const auto database = this->database();
  return Twice([&] { return FindGtidIn(*database, source, gtid); });
}

FoundFrame RocksIndex::FindFirstPast(const std::string& source, int64_t time_us) {
  const auto database = this->database();
  return Twice([&] { return FindFirstPastIn(*database, source, time_us); });
}

FoundFrame RocksIndex::FindPosition(const std::string& source, const std::string& file,
                                    uint64_t position) {
  const auto database = this->database();
  return Twice([&] { return FindPositionIn(*database, source, file, position); });
}

FoundFrame RocksIndex::Frame(const std::string& source, uint64_t segment, uint32_t frame) {
  return LoadFrame(*database(), source, segment, frame);
}

Status RocksIndex::EachFrame(const std::string& source, uint64_t segment, uint32_t first_frame,
                             const std::function<bool(const IndexedFrame&)>& callback) {
  const auto database = this->database();
  return EachRecord(*database, Family::kFrame, SegmentPrefix(source, segment),
                    FrameKey(source, segment, first_frame),
                    [&](std::string_view key, std::string_view value) -> Status {
                      TM_ASSIGN_OR_RETURN(const FrameKeyFields fields, DecodeFrameKey(key));
                      TM_ASSIGN_OR_RETURN(FrameRecord record,
                                          DecodeFrameValue(fields.frame, value));
                      if (callback(IndexedFrame{segment, std::move(record)})) return OkStatus();
                      return {Code::kEndOfData, "enough"};
                    });
}

// Starts at the first frame whose running high reaches from_us: everything before it is earlier. It
// cannot stop at the first DDL past to_us, since the clock may have stepped back behind it.
Result<std::vector<IndexedDdl>> RocksIndex::ListDdl(const std::string& source, int64_t from_us,
                                                    int64_t to_us, size_t limit) {
  std::vector<IndexedDdl> found;
  if (limit == 0 || from_us > to_us) return found;
  const auto database = this->database();
  const std::string prefix = SourcePrefix(source);
  TM_ASSIGN_OR_RETURN(const auto reached,
                      FirstFrom(*database, Family::kTime, prefix, TimeKey(source, from_us, 0, 0)));
  if (!reached.has_value()) return found;
  TM_ASSIGN_OR_RETURN(const TimeKeyFields start, DecodeTimeKey(reached->key));
  TM_RETURN_IF_ERROR(
      EachRecord(*database, Family::kDdl, prefix, DdlKey(source, start.segment, 0),
                 [&](std::string_view key, std::string_view value) -> Status {
                   TM_ASSIGN_OR_RETURN(const OffsetKeyFields fields, DecodeOffsetKey(key));
                   TM_ASSIGN_OR_RETURN(DdlRecord ddl, DecodeDdlValue(fields.raw_offset, value));
                   if (ddl.commit_us < from_us || ddl.commit_us > to_us) return OkStatus();
                   found.push_back({fields.segment, std::move(ddl)});
                   return found.size() < limit ? OkStatus() : Status(Code::kEndOfData, "enough");
                 }));
  return found;
}

Result<std::vector<IndexedOversize>> RocksIndex::ListOversize(const std::string& source) {
  const auto database = this->database();
  std::vector<IndexedOversize> found;
  const std::string prefix = SourcePrefix(source);
  TM_RETURN_IF_ERROR(EachRecord(
      *database, Family::kOversize, prefix, prefix,
      [&](std::string_view key, std::string_view value) -> Status {
        TM_ASSIGN_OR_RETURN(const OffsetKeyFields fields, DecodeOffsetKey(key));
        TM_ASSIGN_OR_RETURN(OversizeRecord oversize, DecodeOversizeValue(fields.raw_offset, value));
        found.push_back({fields.segment, std::move(oversize)});
        return OkStatus();
      }));
  return found;
}

}  // namespace tidemark
