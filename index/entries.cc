#include "index/entries.h"

#include <algorithm>

#include "replication/base/checksum.h"

namespace tidemark {
namespace {

void Sort(std::vector<IndexEntry>* entries) {
  std::sort(entries->begin(), entries->end(),
            [](const IndexEntry& a, const IndexEntry& b) { return a.KeyLess(b); });
}

void Append(std::vector<IndexEntry>* to, std::vector<IndexEntry> from) {
  to->insert(to->end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

std::string Number(const char* name, uint64_t value) {
  return std::string(" ") + name + "=" + std::to_string(value);
}
std::string Time(const char* name, int64_t value) {
  return std::string(" ") + name + "=" + std::to_string(value);
}
// Quotes, backslashes and control bytes escaped: an entry stays one line whatever a name or
// statement holds.
std::string Escaped(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '"' || c == '\\') {
      (out += '\\') += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      out += "\\x" + Hex(AsBytes(std::string_view(&c, 1)));
    } else {
      out += c;
    }
  }
  return out;
}
std::string Quoted(const char* name, const std::string& text) {
  return std::string(" ") + name + "=\"" + Escaped(text) + '"';
}
std::string Place(const std::string& source, uint64_t segment) {
  return Escaped(source) + "/" + std::to_string(segment);
}
std::string Place(const std::string& source, uint64_t segment, uint32_t frame) {
  return Place(source, segment) + "/" + std::to_string(frame);
}

Result<std::string> DescribeSegment(const IndexEntry& entry) {
  TM_ASSIGN_OR_RETURN(const SegmentKeyFields key, DecodeSegmentKey(entry.key));
  std::string line = "segment " + Place(key.source, key.segment);
  if (key.part == SegmentPart::kHeader) {
    TM_ASSIGN_OR_RETURN(const SegmentHeader header, DecodeHeaderValue(key.segment, entry.value));
    return line + " header" + Number("format", header.format_version) +
           Quoted("name", header.source_name) + " server=" + header.server_uuid.ToString() +
           Quoted("file", header.source_file) + Number("start", header.source_start) +
           Number("prefix", header.prefix_bytes) + Time("created", header.created_us) +
           " previous=" + header.previous.ToString() + " gap=" + header.gap.missing.ToString() +
           Quoted("reason", header.gap.reason) + Time("noticed", header.gap.noticed_us);
  }
  SegmentRecord segment;
  TM_RETURN_IF_ERROR(DecodeExtentValue(entry.value, &segment));
  return line + " extent" + Number("raw", segment.raw_bytes) +
         Number("stored", segment.stored_bytes) + Number("transactions", segment.transactions) +
         Time("first", segment.first_commit_us) + Time("last", segment.last_commit_us) +
         Time("high", segment.commit_high_us) + Number("sealed", segment.sealed ? 1 : 0) +
         Number("reason", static_cast<uint8_t>(segment.reason)) +
         Number("ends_file", segment.ends_source_file ? 1 : 0) +
         " gtids=" + segment.gtids.ToString();
}

Result<std::string> DescribeFrame(const IndexEntry& entry) {
  TM_ASSIGN_OR_RETURN(const FrameKeyFields key, DecodeFrameKey(entry.key));
  TM_ASSIGN_OR_RETURN(const FrameRecord frame, DecodeFrameValue(key.frame, entry.value));
  std::string line =
      "frame " + Place(key.source, key.segment, key.frame) + Number("raw", frame.place.raw_offset) +
      Number("stored", frame.place.stored_offset) + Number("raw_end", frame.raw_end) +
      Number("in_transaction", frame.starts_in_transaction ? 1 : 0) +
      Number("stepped_back", frame.clock_stepped_back ? 1 : 0) +
      Number("transactions", frame.transactions) + Time("first", frame.first_commit_us) +
      Time("last", frame.last_commit_us) + Time("high", frame.commit_high_us) +
      " gtids=" + frame.gtids.ToString() + Number("omitted", frame.tables_omitted);
  for (const TableTouch& table : frame.tables) {
    line += Quoted("schema", table.schema) + Quoted("table", table.table) +
            Number("i", table.inserted) + Number("u", table.updated) + Number("d", table.deleted);
  }
  return line;
}

Result<std::string> DescribeGtid(const IndexEntry& entry) {
  TM_ASSIGN_OR_RETURN(const GtidKeyFields key, DecodeGtidKey(entry.key));
  TM_ASSIGN_OR_RETURN(const GtidPlace place, DecodeGtidValue(key.first, entry.value));
  return "gtid " + Escaped(key.source) + " " + key.tsid.ToString() + ":" +
         std::to_string(key.first) + "-" + std::to_string(place.last) + " in " +
         Place(key.source, place.segment, place.frame);
}

Result<std::string> DescribeTime(const IndexEntry& entry) {
  TM_ASSIGN_OR_RETURN(const TimeKeyFields key, DecodeTimeKey(entry.key));
  if (!entry.value.empty()) return Status(Code::kCorruption, "a time record has a value");
  return "time " + Escaped(key.source) + Time("high", key.commit_high_us) + " in " +
         Place(key.source, key.segment, key.frame);
}

Result<std::string> DescribePosition(const IndexEntry& entry) {
  TM_ASSIGN_OR_RETURN(const PositionKeyFields key, DecodePositionKey(entry.key));
  TM_ASSIGN_OR_RETURN(const PositionPlace place, DecodePositionValue(entry.value));
  return "position " + Escaped(key.source) + Quoted("file", key.file) +
         Number("start", place.source_start) + " server=" + place.server_uuid.ToString() + " in " +
         Place(key.source, key.segment);
}

Result<std::string> DescribeDdl(const IndexEntry& entry) {
  TM_ASSIGN_OR_RETURN(const OffsetKeyFields key, DecodeOffsetKey(entry.key));
  TM_ASSIGN_OR_RETURN(const DdlRecord ddl, DecodeDdlValue(key.raw_offset, entry.value));
  return "ddl " + Place(key.source, key.segment, ddl.frame) + Number("raw", ddl.raw_offset) +
         " gtid=" + ddl.gtid.ToString() + Time("commit", ddl.commit_us) +
         Quoted("schema", ddl.schema) + Quoted("statement", ddl.statement);
}

Result<std::string> DescribeOversize(const IndexEntry& entry) {
  TM_ASSIGN_OR_RETURN(const OffsetKeyFields key, DecodeOffsetKey(entry.key));
  TM_ASSIGN_OR_RETURN(const OversizeRecord oversize,
                      DecodeOversizeValue(key.raw_offset, entry.value));
  return "oversize " + Place(key.source, key.segment, oversize.frame) +
         Number("raw", oversize.raw_begin) + Number("raw_end", oversize.raw_end) +
         " gtid=" + oversize.gtid.ToString() + Time("commit", oversize.commit_us);
}

Result<std::string> DescribeMeta(const IndexEntry& entry) {
  if (entry.key != kMetaFormatKey) return Status(Code::kCorruption, "an unknown meta record");
  TM_ASSIGN_OR_RETURN(const uint32_t version, DecodeMetaFormat(entry.value));
  return "meta format=" + std::to_string(version);
}

Result<std::string> Describe(const IndexEntry& entry) {
  switch (entry.family) {
    case Family::kMeta: return DescribeMeta(entry);
    case Family::kSegment: return DescribeSegment(entry);
    case Family::kFrame: return DescribeFrame(entry);
    case Family::kGtid: return DescribeGtid(entry);
    case Family::kTime: return DescribeTime(entry);
    case Family::kPosition: return DescribePosition(entry);
    case Family::kDdl: return DescribeDdl(entry);
    case Family::kOversize: return DescribeOversize(entry);
  }
  return Status(Code::kCorruption, "an unknown family");
}

}  // namespace

std::vector<IndexEntry> SegmentEntries(const std::string& source, const SegmentRecord& segment) {
  const SegmentHeader& header = segment.header;
  return {
      {Family::kSegment, SegmentKey(source, header.number, SegmentPart::kHeader),
       EncodeHeaderValue(header)},
      {Family::kSegment, SegmentKey(source, header.number, SegmentPart::kExtent),
       EncodeExtentValue(segment)},
      {Family::kPosition, PositionKey(source, header.source_file, header.number),
       EncodePositionValue({header.server_uuid, header.source_start})},
  };
}

std::vector<IndexEntry> FrameEntries(const std::string& source, uint64_t segment,
                                     const FrameRecord& frame) {
  std::vector<IndexEntry> entries;
  entries.push_back(
      {Family::kFrame, FrameKey(source, segment, frame.frame), EncodeFrameValue(frame)});
  for (const auto& [tsid, intervals] : frame.gtids.map()) {
    for (const GnoInterval& interval : intervals) {
      entries.push_back({Family::kGtid, GtidKey(source, tsid, interval.first),
                         EncodeGtidValue(interval.first, {interval.last, segment, frame.frame})});
    }
  }
  // Without a transaction of its own the frame only repeats the high of an earlier one.
  if (frame.transactions > 0) {
    entries.push_back(
        {Family::kTime, TimeKey(source, frame.commit_high_us, segment, frame.frame), {}});
  }
  Sort(&entries);
  return entries;
}

IndexEntry DdlEntry(const std::string& source, uint64_t segment, const DdlRecord& ddl) {
  return {Family::kDdl, DdlKey(source, segment, ddl.raw_offset), EncodeDdlValue(ddl)};
}

IndexEntry OversizeEntry(const std::string& source, uint64_t segment,
                         const OversizeRecord& oversize) {
  return {Family::kOversize, OversizeKey(source, segment, oversize.raw_begin),
          EncodeOversizeValue(oversize)};
}

std::vector<IndexEntry> BatchEntries(const DurableBatch& batch) {
  const uint64_t segment = batch.segment.header.number;
  std::vector<IndexEntry> entries = SegmentEntries(batch.source, batch.segment);
  for (const FrameRecord& frame : batch.frames) {
    Append(&entries, FrameEntries(batch.source, segment, frame));
  }
  for (const DdlRecord& ddl : batch.ddl) entries.push_back(DdlEntry(batch.source, segment, ddl));
  for (const OversizeRecord& oversize : batch.oversize) {
    entries.push_back(OversizeEntry(batch.source, segment, oversize));
  }
  Sort(&entries);
  return entries;
}

std::string DescribeEntry(const IndexEntry& entry) {
  Result<std::string> line = Describe(entry);
  if (line.has_value()) return std::move(line.value());
  return std::string(FamilyName(entry.family)) + " undecodable (" + line.error().message() +
         ") key=" + Hex(AsBytes(entry.key)) + " value=" + Hex(AsBytes(entry.value));
}

}  // namespace tidemark
