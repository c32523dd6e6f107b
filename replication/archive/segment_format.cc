#include "replication/archive/segment_format.h"

#include <algorithm>
#include <cstddef>

namespace tidemark {
namespace {

// Offsets of FORMAT.md. Both frames begin alike: skippable magic, size of what follows, tag,
// version.
constexpr size_t kPreambleBytes = 18;
constexpr size_t kTagOffset = 8;
constexpr size_t kVersionOffset = 16;
constexpr std::string_view kHeaderTag = "TMSEGHDR";
constexpr std::string_view kFooterTag = "TMSEGFTR";
constexpr std::string_view kTrailerTag = "TMSEGEND";

constexpr size_t kHeaderFixedBytes = 72;
constexpr size_t kHeaderBytesMin =
    kHeaderFixedBytes + 2 + 2 + 4 + 4 + 4 + 4;  // five empty texts and the checksum
static_assert(kHeaderFixedBytes == kPreambleBytes + 2 + 8 + 16 + 8 + 4 + 8 + 8);

constexpr size_t kFooterFixedBytes = 120;
constexpr size_t kFooterBytesMin = kFooterFixedBytes + 4 + kFooterTrailerBytes;
constexpr size_t kFramePlaceBytes = 16;
constexpr uint8_t kFlagEndsSourceFile = 1;
constexpr uint16_t kFlagImported = 1;
static_assert(kFooterFixedBytes == kPreambleBytes + 1 + 1 + 4 + 3 * 8 + 4 * 8 + 32 + 8);
static_assert(kFooterTrailerBytes == 4 + 4 + kTrailerTag.size());

void PutPreamble(ByteWriter& writer, std::string_view tag) {
  writer.U32(kSkippableMagic).U32(0).Text(tag).U16(kSegmentFormatVersion);
}

// The size stands in front of what it measures; it is known once that has been written.
void SetFrameSize(std::string* frame, size_t size) {
  for (size_t i = 0; i < 4; ++i) (*frame)[4 + i] = static_cast<char>((size - 8) >> (8 * i));
}

int64_t Signed(uint64_t value) { return static_cast<int64_t>(value); }
uint64_t Unsigned(int64_t value) { return static_cast<uint64_t>(value); }

Status Truncated(const char* what) {
  return Status(Code::kTruncated, std::string("the segment's ") + what + " is cut short");
}
Status Damaged(const char* what, const std::string& how) {
  return Status(Code::kCorruption, std::string("the segment's ") + what + " is damaged: " + how);
}

// Takes the whole skippable frame off the front of `bytes`, its magic, tag and size checked.
Result<Bytes> TakeFrame(Bytes bytes, std::string_view tag, const char* what, size_t bytes_min) {
  const auto starts_wrong = [&](size_t offset, Bytes wanted) {
    for (size_t i = 0; i < wanted.size() && offset + i < bytes.size(); ++i)
      if (bytes[offset + i] != wanted[i]) return true;
    return false;
  };
  std::string magic;
  ByteWriter(&magic).U32(kSkippableMagic);
  if (starts_wrong(0, AsBytes(magic)) || starts_wrong(kTagOffset, AsBytes(tag))) {
    if (tag == kFooterTag) return Damaged(what, "it does not begin as one");
    return Status(Code::kUnsupportedFormat,
                  "this is no Tidemark segment: it does not begin with a segment's header");
  }
  if (bytes.size() < kPreambleBytes) return Truncated(what);
  uint64_t size = LoadLittleEndian(bytes.data() + 4, 4) + 8;
  if (size < bytes_min || size > kSegmentHeaderBytesMax)
    return Damaged(what, "it claims " + std::to_string(size) + " bytes");
  if (size > bytes.size()) return Truncated(what);
  return bytes.first(size);
}

Status CheckVersion(Bytes frame, const char* what) {
  uint64_t version = LoadLittleEndian(frame.data() + kVersionOffset, 2);
  if (version == kSegmentFormatVersion) return OkStatus();
  if (version == 0) return Damaged(what, "format version 0");
  return Status(Code::kUnsupportedFormat,
                "the segment has format version " + std::to_string(version) +
                    ", this program reads version " + std::to_string(kSegmentFormatVersion),
                "use the version of Tidemark that wrote it, or a newer one");
}

uint32_t Load32(Bytes frame, size_t offset) {
  return static_cast<uint32_t>(LoadLittleEndian(frame.data() + offset, 4));
}

std::string TakeText(ByteReader& reader, uint64_t size) {
  return std::string(AsText(reader.Take(size)));
}

Result<GtidSet> TakeGtidSet(ByteReader& reader, const char* what) {
  Bytes encoded = reader.Take(reader.U32());
  if (!reader.ok()) return Damaged(what, "a GTID set runs over its end");
  if (encoded.empty()) return GtidSet();
  Result<GtidSet> set = GtidSet::Decode(encoded);
  if (!set.ok()) return Damaged(what, set.error().message());
  return set;
}

Status TakeFrameTable(ByteReader& reader, uint32_t count, SegmentFooter* footer) {
  if (reader.remaining() != uint64_t{count} * kFramePlaceBytes)
    return Damaged("footer", "its frame table does not have the size it claims");
  footer->frames.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    FramePlace place{.raw_offset = reader.U64(), .stored_offset = reader.U64()};
    const bool rises = i == 0 ? place.raw_offset == 0
                              : place.raw_offset > footer->frames.back().raw_offset &&
                                    place.stored_offset > footer->frames.back().stored_offset;
    if (!rises || place.raw_offset >= footer->raw_bytes ||
        place.stored_offset >= footer->stored_bytes)
      return Damaged("footer", "frame " + std::to_string(i) + " is out of order");
    footer->frames.push_back(place);
  }
  return OkStatus();
}

}  // namespace

const char* SealReasonName(SealReason reason) {
  switch (reason) {
    case SealReason::kRotation: return "rotation";
    case SealReason::kSize: return "size";
    case SealReason::kAge: return "age";
    case SealReason::kStop: return "stop";
    case SealReason::kRecovery: return "recovery";
    case SealReason::kSourceChange: return "source-change";
    case SealReason::kRequest: return "request";
  }
  return "unknown";
}

std::string EncodeSegmentHeader(const SegmentHeader& header) {
  std::string frame;
  ByteWriter writer(&frame);
  PutPreamble(writer, kHeaderTag);
  writer.U16(header.imported ? kFlagImported : 0).U64(header.number).Raw(header.server_uuid.bytes);
  writer.U64(header.source_start).U32(header.prefix_bytes);
  writer.U64(Unsigned(header.created_us)).U64(Unsigned(header.gap.noticed_us));
  TM_CHECK(frame.size() == kHeaderFixedBytes);
  TM_CHECK(header.source_name.size() <= UINT16_MAX && header.source_file.size() <= UINT16_MAX);
  writer.Text16(header.source_name).Text16(header.source_file);
  writer.Text32(header.previous.empty() ? std::string() : header.previous.Encode());
  writer.Text32(header.gap.missing.empty() ? std::string() : header.gap.missing.Encode());
  writer.Text32(header.gap.reason);
  SetFrameSize(&frame, frame.size() + 4);
  writer.U32(Crc32(0, AsBytes(frame)));
  return frame;
}

Result<SegmentHeader> DecodeSegmentHeader(Bytes bytes, size_t* frame_bytes) {
  TM_ASSIGN_OR_RETURN(Bytes frame, TakeFrame(bytes, kHeaderTag, "header", kHeaderBytesMin));
  const size_t covered = frame.size() - 4;
  if (Load32(frame, covered) != Crc32(0, frame.first(covered)))
    return Damaged("header", "its checksum does not hold");
  TM_RETURN_IF_ERROR(CheckVersion(frame, "header"));

  SegmentHeader header;
  ByteReader reader(frame.first(covered));
  reader.Skip(kVersionOffset);
  header.format_version = reader.U16();
  header.imported = (reader.U16() & kFlagImported) != 0;
  header.number = reader.U64();
  Bytes uuid = reader.Take(header.server_uuid.bytes.size());
  std::copy(uuid.begin(), uuid.end(), header.server_uuid.bytes.begin());
  header.source_start = reader.U64();
  header.prefix_bytes = reader.U32();
  header.created_us = Signed(reader.U64());
  header.gap.noticed_us = Signed(reader.U64());
  header.source_name = TakeText(reader, reader.U16());
  header.source_file = TakeText(reader, reader.U16());
  TM_ASSIGN_OR_RETURN(header.previous, TakeGtidSet(reader, "header"));
  TM_ASSIGN_OR_RETURN(header.gap.missing, TakeGtidSet(reader, "header"));
  header.gap.reason = TakeText(reader, reader.U32());
  if (!reader.ok() || reader.remaining() != 0) return Damaged("header", "its texts do not fill it");
  if (frame_bytes != nullptr) *frame_bytes = frame.size();
  return header;
}

std::string EncodeSegmentFooter(const SegmentFooter& footer) {
  std::string frame;
  ByteWriter writer(&frame);
  PutPreamble(writer, kFooterTag);
  writer.U8(static_cast<uint8_t>(footer.reason))
      .U8(footer.ends_source_file ? kFlagEndsSourceFile : 0);
  writer.U32(static_cast<uint32_t>(footer.frames.size()));
  writer.U64(footer.raw_bytes).U64(footer.stored_bytes).U64(footer.transactions);
  writer.U64(Unsigned(footer.first_commit_us)).U64(Unsigned(footer.last_commit_us));
  writer.U64(Unsigned(footer.commit_high_us)).U64(Unsigned(footer.sealed_us));
  writer.Raw(footer.raw_sha256).U64(footer.stored_xxh64);
  TM_CHECK(frame.size() == kFooterFixedBytes);
  writer.Text32(footer.gtids.empty() ? std::string() : footer.gtids.Encode());
  for (const FramePlace& place : footer.frames)
    writer.U64(place.raw_offset).U64(place.stored_offset);
  const size_t size = frame.size() + kFooterTrailerBytes;
  SetFrameSize(&frame, size);
  writer.U32(static_cast<uint32_t>(size));
  writer.U32(Crc32(0, AsBytes(frame))).Text(kTrailerTag);
  return frame;
}

Result<SegmentFooter> DecodeSegmentFooter(Bytes bytes) {
  TM_ASSIGN_OR_RETURN(Bytes frame, TakeFrame(bytes, kFooterTag, "footer", kFooterBytesMin));
  const size_t body = frame.size() - kFooterTrailerBytes;
  if (FooterFrameBytes(frame.subspan(body)) != frame.size())
    return Damaged("footer", "it does not end as one");
  if (Load32(frame, body + 4) != Crc32(0, frame.first(body + 4)))
    return Damaged("footer", "its checksum does not hold");
  TM_RETURN_IF_ERROR(CheckVersion(frame, "footer"));

  SegmentFooter footer;
  ByteReader reader(frame.first(body));
  reader.Skip(kPreambleBytes);
  const uint8_t reason = reader.U8();
  if (reason < uint8_t(SealReason::kRotation) || reason > uint8_t(SealReason::kRequest))
    return Damaged("footer", "seal reason " + std::to_string(reason) + " is none");
  footer.reason = static_cast<SealReason>(reason);
  footer.ends_source_file = (reader.U8() & kFlagEndsSourceFile) != 0;
  const uint32_t frame_count = reader.U32();
  footer.raw_bytes = reader.U64();
  footer.stored_bytes = reader.U64();
  footer.transactions = reader.U64();
  footer.first_commit_us = Signed(reader.U64());
  footer.last_commit_us = Signed(reader.U64());
  footer.commit_high_us = Signed(reader.U64());
  footer.sealed_us = Signed(reader.U64());
  Bytes digest = reader.Take(footer.raw_sha256.size());
  std::copy(digest.begin(), digest.end(), footer.raw_sha256.begin());
  footer.stored_xxh64 = reader.U64();
  TM_ASSIGN_OR_RETURN(footer.gtids, TakeGtidSet(reader, "footer"));
  TM_RETURN_IF_ERROR(TakeFrameTable(reader, frame_count, &footer));
  return footer;
}

uint64_t FooterFrameBytes(Bytes trailer) {
  if (trailer.size() != kFooterTrailerBytes || AsText(trailer.subspan(8)) != kTrailerTag) return 0;
  const uint32_t size = Load32(trailer, 0);
  return size < kFooterBytesMin || size > kSegmentHeaderBytesMax ? 0 : size;
}

}  // namespace tidemark
