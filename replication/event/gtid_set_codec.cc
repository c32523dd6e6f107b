// GtidSet's text and binary forms. Both decoders gather intervals as they come and put them in
// order once per TSID at the end: inserting each into its place would take quadratic time on input
// made for that.
#include <algorithm>
#include <optional>
#include <utility>

#include "replication/event/gtid_set.h"
#include "replication/event/gtid_text.h"

namespace tidemark {
namespace {

// The binary form starts with eight bytes: the number of TSIDs and the format. Untagged: the
// number, top byte 0. Tagged: top byte and lowest byte 1, the number in the 48 bits between. Then
// per TSID: UUID, in the tagged form a tag (length times two in one byte, as MySQL's
// variable-length integers have it, then the text; length 0 if untagged), the number of intervals
// u64, and for each its first number and the one behind its last, u64 each. Source:
// sql/rpl_gtid_set.cc (encode_nsids_format, Gtid_set::encode), libs/mysql/serialization.
constexpr uint64_t kTaggedFormat = 1;
constexpr uint64_t kFormatShift = 56;
constexpr uint64_t kTaggedCountShift = 8;
constexpr uint64_t kTaggedCountMask = (uint64_t{1} << 48) - 1;
constexpr size_t kIntervalSize = 16;
constexpr size_t kTsidSizeMin = sizeof(Uuid) + 8;

void SortAndJoin(GtidSet::Intervals& intervals) {
  std::sort(intervals.begin(), intervals.end(),
            [](const GnoInterval& a, const GnoInterval& b) { return a.first < b.first; });
  size_t kept = 0;
  for (const GnoInterval& interval : intervals) {
    if (kept > 0 && interval.first - 1 <= intervals[kept - 1].last) {
      intervals[kept - 1].last = std::max(intervals[kept - 1].last, interval.last);
    } else {
      intervals[kept++] = interval;
    }
  }
  intervals.resize(kept);
}

void Normalize(GtidSet::Map& map) {
  for (auto& [tsid, intervals] : map) SortAndJoin(intervals);
  std::erase_if(map, [](const auto& entry) { return entry.second.empty(); });
}

Status TakeInterval(GtidText& reader, GtidSet::Intervals& intervals) {
  const std::optional<int64_t> first = reader.TakeNumber();
  if (!first || *first == 0) return reader.Expected("a number from 1 to 2^63-2 or a tag");
  int64_t last = *first;
  if (reader.Consume('-')) {
    const std::optional<int64_t> end = reader.TakeNumber();
    if (!end) return reader.Expected("the interval's end, at most 2^63-2");
    last = *end;
  }
  if (last >= *first) intervals.push_back({*first, last});
  return OkStatus();
}

// UUID, then intervals and tags, each behind a colon; a tag holds for the intervals that follow it.
Status TakeUuidSet(GtidText& reader, GtidSet::Map& map) {
  const std::optional<Uuid> uuid = reader.TakeUuid();
  if (!uuid) return reader.Expected("a UUID");
  Tsid tsid{*uuid, {}};
  if (!reader.Consume(':')) return reader.Expected("':'");
  do {
    if (std::optional<std::string> tag = reader.TakeTag()) {
      tsid.tag = *std::move(tag);
      if (!reader.Consume(':')) return reader.Expected("':' behind the tag");
    }
    TM_RETURN_IF_ERROR(TakeInterval(reader, map[tsid]));
  } while (reader.Consume(':'));
  return OkStatus();
}

Status Malformed(const ByteReader& reader, const std::string& what) {
  return Status(Code::kCorruption, "malformed encoded GTID set: " + what + " before byte " +
                                       std::to_string(reader.position()));
}

Result<Tsid> DecodeTsid(ByteReader& reader, bool tagged) {
  Tsid tsid;
  const Bytes uuid = reader.Take(tsid.uuid.bytes.size());
  std::copy(uuid.begin(), uuid.end(), tsid.uuid.bytes.begin());
  if (tagged) {
    const uint8_t length = reader.U8();
    if (length % 2 != 0 || length / 2 > kGtidTagBytesMax) return Malformed(reader, "bad tag size");
    tsid.tag = AsText(reader.Take(length / 2));
    if (length != 0 && reader.ok() && !IsCanonicalTag(tsid.tag)) {
      return Malformed(reader, "bad tag");
    }
  }
  if (!reader.ok()) return Malformed(reader, "cut short");
  return tsid;
}

Status DecodeIntervals(ByteReader& reader, GtidSet::Intervals& intervals) {
  const uint64_t count = reader.U64();
  if (!reader.ok() || count > reader.remaining() / kIntervalSize) {
    return Malformed(reader, "cut short");
  }
  uint64_t previous_end = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t first = reader.U64();
    const uint64_t end = reader.U64();
    if (first <= previous_end || end <= first || end - 1 > uint64_t{kGnoMax}) {
      return Malformed(reader, "intervals out of order or range");
    }
    intervals.push_back({static_cast<int64_t>(first), static_cast<int64_t>(end - 1)});
    previous_end = end;
  }
  return OkStatus();
}

}  // namespace

Result<GtidSet> GtidSet::Parse(std::string_view text) {
  GtidText reader(text, "GTID set");
  GtidSet set;
  while (true) {
    while (reader.Consume(','))
      continue;  // the server allows empty elements, mysqldump's line ends need them
    if (reader.AtEnd()) break;
    TM_RETURN_IF_ERROR(TakeUuidSet(reader, set.map_));
    if (reader.Consume(',') || reader.AtEnd()) continue;
    return reader.Expected("':', ',' or the end");
  }
  Normalize(set.map_);
  return set;
}

Result<GtidSet> GtidSet::Decode(Bytes bytes) {
  ByteReader reader(bytes);
  const uint64_t head = reader.U64();
  const uint64_t format = head >> kFormatShift;
  const bool tagged = format == kTaggedFormat;
  if (!reader.ok()) return Malformed(reader, "cut short");
  if (format > kTaggedFormat || (tagged && (head & 0xFF) != kTaggedFormat)) {
    return Malformed(reader, "unknown format");
  }
  const uint64_t count = tagged ? head >> kTaggedCountShift & kTaggedCountMask : head;
  if (count > reader.remaining() / kTsidSizeMin) return Malformed(reader, "cut short");
  GtidSet set;
  for (uint64_t i = 0; i < count; ++i) {
    TM_ASSIGN_OR_RETURN(const Tsid tsid, DecodeTsid(reader, tagged));
    TM_RETURN_IF_ERROR(DecodeIntervals(reader, set.map_[tsid]));
  }
  if (reader.remaining() != 0) {
    return Status(Code::kCorruption, "malformed encoded GTID set: " +
                                         std::to_string(reader.remaining()) + " bytes too many");
  }
  Normalize(set.map_);
  return set;
}

std::string GtidSet::Encode() const {
  const bool tagged = std::any_of(map_.begin(), map_.end(),
                                  [](const auto& entry) { return !entry.first.tag.empty(); });
  std::string out;
  ByteWriter writer(&out);
  const uint64_t count = map_.size();
  writer.U64(tagged ? kTaggedFormat << kFormatShift | count << kTaggedCountShift | kTaggedFormat
                    : count);
  for (const auto& [tsid, intervals] : map_) {
    writer.Raw(tsid.uuid.bytes);
    if (tagged) writer.U8(static_cast<uint8_t>(tsid.tag.size() * 2)).Text(tsid.tag);
    writer.U64(intervals.size());
    for (const GnoInterval& interval : intervals) {
      writer.U64(static_cast<uint64_t>(interval.first));
      writer.U64(static_cast<uint64_t>(interval.last) + 1);
    }
  }
  return out;
}

std::string GtidSet::ToString() const {
  std::string text;
  const Uuid* previous = nullptr;
  for (const auto& [tsid, intervals] : map_) {
    if (previous == nullptr || *previous != tsid.uuid) {
      if (previous != nullptr) text += ',';
      text += tsid.uuid.ToString();
      previous = &tsid.uuid;
    }
    if (!tsid.tag.empty()) (text += ':') += tsid.tag;
    for (const GnoInterval& interval : intervals) {
      (text += ':') += std::to_string(interval.first);
      if (interval.last > interval.first) (text += '-') += std::to_string(interval.last);
    }
  }
  return text;
}

}  // namespace tidemark
