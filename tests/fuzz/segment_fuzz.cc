// Whatever a file holds, opening, walking, scanning and recovering it ends in a Status: no crash,
// no endless loop, no memory that the file asks for. Header and footer decoders are also tried on
// their own; what they accept they must write back byte for byte.
#include <cstddef>
#include <cstdint>
#include <string>

#include "replication/archive/segment_reader.h"
#include "replication/archive/segment_recovery.h"
#include "tests/support/memory_file_system.h"

namespace tidemark {
namespace {

constexpr char kPath[] = "/segments/0000000001.binlog.zst";

class NoClock : public Clock {
 public:
  int64_t WallMicroseconds() override { return 1; }
  int64_t MonotonicMicroseconds() override { return 1; }
};

void TryCodecs(Bytes bytes) {
  size_t frame_bytes = 0;
  if (auto header = DecodeSegmentHeader(bytes, &frame_bytes); header.ok()) {
    auto again = DecodeSegmentHeader(AsBytes(EncodeSegmentHeader(*header)), nullptr);
    TM_CHECK(again.ok() && again->previous == header->previous &&
             again->source_file == header->source_file);
  }
  if (auto footer = DecodeSegmentFooter(bytes); footer.ok()) {
    auto again = DecodeSegmentFooter(AsBytes(EncodeSegmentFooter(*footer)));
    TM_CHECK(again.ok() && again->frames == footer->frames && again->gtids == footer->gtids);
  }
}

void TryFile(const std::string& contents) {
  MemoryFileSystem files;
  files.Put(kPath, contents);
  if (auto reader = SegmentReader::Open(files, kPath); reader.ok()) {
    (void)(*reader)->Walk(
        {.on_block = [](Bytes, uint64_t) { return OkStatus(); },
         .on_frame_end = [](FramePlace, uint64_t, uint64_t) { return OkStatus(); }});
    const FramePlace first{.raw_offset = 0, .stored_offset = (*reader)->frames_begin()};
    (void)(*reader)->ReadRaw(first, 10, 100'000, [](Bytes) { return OkStatus(); });
  }
  (void)ScanSegment(files, kPath, "source", 0);
  NoClock clock;
  auto recovered = RecoverSegment(files, clock, kPath, "source", 1, 0);
  if (recovered.ok() && !recovered->removed) {
    // What recovery made is a sealed segment, and stays as it is.
    auto scanned = ScanSegment(files, kPath, "source", 0);
    TM_CHECK(scanned.ok() && scanned->segment.sealed);
    const std::string after = files.Contents(kPath);
    TM_CHECK(RecoverSegment(files, clock, kPath, "source", 1, 0).ok() &&
             files.Contents(kPath) == after);
  }
}

}  // namespace
}  // namespace tidemark

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tidemark;
  const Bytes bytes(data, size);
  TryCodecs(bytes);
  TryFile(std::string(AsText(bytes)));
  // Most inputs have no valid header: give them one, so that the frames are reached.
  SegmentHeader header;
  header.number = 1;
  TryFile(EncodeSegmentHeader(header) + std::string(AsText(bytes)));
  return 0;
}
