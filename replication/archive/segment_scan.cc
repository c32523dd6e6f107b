#include "replication/archive/segment_scan.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "replication/archive/segment_recovery.h"
#include "replication/event/control_events.h"

namespace tidemark {
namespace {

constexpr size_t kHashReadBytes = 256 * 1024;

}  // namespace

FrameScan::FrameScan(SegmentHeader header, std::string path, uint64_t frames_begin,
                     int64_t commit_high_us)
    : header_(std::move(header)),
      path_(std::move(path)),
      scanner_(ScannerOptions{.expect_magic = true}),
      catalog_(header_, commit_high_us),
      places_{{.raw_offset = 0, .stored_offset = frames_begin}},
      checkpoint_{.catalog = catalog_, .next_frame = places_.front(), .checksum = {}, .places = 1} {
}

void FrameScan::OnBlock(Bytes raw, uint64_t stored_end) {
  raw_bytes_ += raw.size();
  sha256_.Update(raw);
  if (!tail_error_.ok()) return;
  const uint64_t whole_before = catalog_.whole_until();
  Status fed = scanner_.FeedBytes(raw, [this](const ScannedEvent& event) {
    TM_RETURN_IF_ERROR(CheckEventPlace(header_, event));
    catalog_.OnEvent(event);
    return OkStatus();
  });
  if (!fed.ok()) tail_error_ = std::move(fed).WithContext(path_);
  if (catalog_.whole_until() > whole_before) whole_stored_ = stored_end;
}

Status FrameScan::OnFrameEnd(uint64_t stored_end) {
  TM_RETURN_IF_ERROR(tail_error_);  // the frame's own checksum holds: it was written so
  if (scanner_.in_event())
    return Status(Code::kCorruption, path_ + ": the frame that ends at stored offset " +
                                         std::to_string(stored_end) + " ends inside an event");
  catalog_.EndFrame(raw_bytes_);
  places_.push_back({.raw_offset = raw_bytes_, .stored_offset = stored_end});
  if (catalog_.whole_until() == raw_bytes_) whole_stored_ = stored_end;
  if (!between_transactions()) return OkStatus();
  TakeRecords();
  sha256_.Mark();
  checkpoint_ = {.catalog = catalog_,
                 .next_frame = places_.back(),
                 .checksum = scanner_.checksum(),
                 .places = places_.size(),
                 .frames = contents_.frames.size(),
                 .ddl = contents_.ddl.size(),
                 .oversize = contents_.oversize.size()};
  return OkStatus();
}

bool FrameScan::between_transactions() const {
  return tail_error_.ok() && !scanner_.in_event() && !scanner_.in_transaction();
}

// Those of frames that have ended are final between transactions: a transaction belongs to the
// frame in which it begins.
void FrameScan::TakeRecords() {
  DurableBatch batch = catalog_.TakeBatch();
  contents_.segment = std::move(batch.segment);
  const auto append = [](auto& to, auto& from) {
    std::move(from.begin(), from.end(), std::back_inserter(to));
  };
  append(contents_.frames, batch.frames);
  append(contents_.ddl, batch.ddl);
  append(contents_.oversize, batch.oversize);
}

FramePlace FrameScan::GoBack() {
  const FramePlace& place = checkpoint_.next_frame;
  ScannerOptions options{.start_offset = place.raw_offset};
  options.expect_magic = !checkpoint_.checksum.has_value();
  options.checksum_known = checkpoint_.checksum.has_value();
  options.checksum = checkpoint_.checksum.value_or(options.checksum);
  scanner_ = StreamScanner(options);
  catalog_ = checkpoint_.catalog;
  sha256_.GoBack();
  tail_error_ = OkStatus();
  contents_.frames.resize(checkpoint_.frames);
  contents_.ddl.resize(checkpoint_.ddl);
  contents_.oversize.resize(checkpoint_.oversize);
  places_.resize(checkpoint_.places);
  raw_bytes_ = place.raw_offset;
  whole_stored_ = checkpoint_.checksum.has_value() ? place.stored_offset : 0;
  return place;
}

ScannedFrames FrameScan::Finish(const std::string& source_name, bool at_frame_end) {
  ScannedFrames scanned;
  scanned.whole = at_frame_end && between_transactions();
  scanned.frames_end = places_.back().stored_offset;
  TakeRecords();
  scanned.contents = std::move(contents_);
  scanned.contents.source = source_name;
  scanned.contents.segment.stored_bytes = whole_stored_;
  for (FrameRecord& record : scanned.contents.frames)
    record.place.stored_offset = places_[record.frame].stored_offset;
  scanned.footer = catalog_.FooterSoFar();
  if (scanned.whole) scanned.footer.raw_bytes = raw_bytes_;
  scanned.footer.stored_bytes = scanned.frames_end;
  scanned.footer.raw_sha256 = sha256_.Finish();
  places_.pop_back();
  scanned.footer.frames = std::move(places_);
  return scanned;
}

namespace {

Status Differs(const SegmentReader& reader, const char* what) {
  return Status(Code::kCorruption,
                reader.path() + ": its footer does not tell the truth about its " + what,
                "restore this file from a copy");
}

Status CompareWithFooter(const SegmentReader& reader, const ScannedFrames& scanned,
                         int64_t commit_high_us) {
  const SegmentFooter& says = reader.footer();
  const SegmentFooter& is = scanned.footer;
  if (!scanned.whole) return Differs(reader, "last transaction: it is not whole");
  if (says.raw_bytes != is.raw_bytes) return Differs(reader, "raw size");
  if (says.raw_sha256 != is.raw_sha256) return Differs(reader, "SHA-256");
  if (says.frames != is.frames) return Differs(reader, "frames");
  if (says.transactions != is.transactions) return Differs(reader, "number of transactions");
  if (says.gtids != is.gtids) return Differs(reader, "GTID set");
  if (says.ends_source_file != is.ends_source_file) return Differs(reader, "last event");
  if (says.first_commit_us != is.first_commit_us || says.last_commit_us != is.last_commit_us)
    return Differs(reader, "commit times");
  // The highest time before it is of the segments in front of it, of which some were imported since
  // it was sealed, or lost, or are not looked at (0). Its own are not above what it says.
  if (says.commit_high_us < is.commit_high_us && is.commit_high_us > commit_high_us)
    return Differs(reader, "highest commit time");
  return OkStatus();
}

// A footer written whole is not a torn one. (Its trailer is damaged: with a whole trailer the
// reader would have told.)
Status CheckNoDamagedFooter(FileSystem& files, const std::string& path, uint64_t frames_end) {
  TM_ASSIGN_OR_RETURN(auto file, files.Open(path, OpenMode::kRead));
  uint8_t preamble[18];
  TM_ASSIGN_OR_RETURN(size_t got, file->ReadAt(frames_end, preamble));
  if (got < sizeof(preamble) || LoadLittleEndian(preamble, 4) != kSkippableMagic) return OkStatus();
  TM_ASSIGN_OR_RETURN(uint64_t size, file->Size());
  if (frames_end + 8 + LoadLittleEndian(preamble + 4, 4) > size) return OkStatus();
  return Status(
      Code::kCorruption,
      path + ": the footer at stored offset " + std::to_string(frames_end) + " is damaged",
      "if it is the newest segment, starting tidemarkd writes the footer again");
}

}  // namespace

Result<ScannedFrames> ScanFrames(SegmentReader& reader, const std::string& source_name,
                                 int64_t commit_high_us) {
  FrameScan scan(reader.header(), reader.path(), reader.frames_begin(), commit_high_us);
  const Status walked = reader.Walk({
      .on_block =
          [&](Bytes raw, uint64_t stored_end) {
            scan.OnBlock(raw, stored_end);
            return OkStatus();
          },
      .on_frame_end = [&](FramePlace, uint64_t,
                          uint64_t stored_end) { return scan.OnFrameEnd(stored_end); },
  });
  if (!walked.ok() && walked.code() != Code::kTruncated) return walked;
  if (reader.sealed()) TM_RETURN_IF_ERROR(scan.tail_error());
  return scan.Finish(source_name, walked.ok());
}

Status CheckEventPlace(const SegmentHeader& header, const ScannedEvent& event) {
  const EventHeader& event_header = event.header;
  if (event.offset < header.prefix_bytes || event_header.artificial() || event_header.log_pos == 0)
    return OkStatus();
  const uint64_t end =
      header.source_start + (event.offset - header.prefix_bytes) + event_header.size;
  if (event_header.log_pos !=
      static_cast<uint32_t>(end))  // 32 bits of it is all that an event says
    return Status(Code::kCorruption, "the event at raw offset " + std::to_string(event.offset) +
                                         " ends at position " + std::to_string(end) + " of " +
                                         header.source_file + ", but says " +
                                         std::to_string(event_header.log_pos));
  // A file's own format description has a checksum even if the events behind it have none.
  if (event.role == EventRole::kFormatDescription && !EventChecksumMatches(event.head))
    return Status(Code::kCorruption, "the format description at raw offset " +
                                         std::to_string(event.offset) + " has a wrong checksum");
  return OkStatus();
}

Result<uint64_t> HashStored(File& file, const std::string& path, uint64_t size) {
  Xxh64 hash;
  std::vector<uint8_t> buffer(kHashReadBytes);
  for (uint64_t offset = 0; offset < size;) {
    const size_t wanted = static_cast<size_t>(std::min<uint64_t>(buffer.size(), size - offset));
    TM_ASSIGN_OR_RETURN(size_t got, file.ReadAt(offset, {buffer.data(), wanted}));
    if (got == 0)
      return Status(Code::kTruncated, path + " ends at " + std::to_string(offset) + " of " +
                                          std::to_string(size) + " bytes");
    hash.Update({buffer.data(), got});
    offset += got;
  }
  return hash.Digest();
}

Result<SegmentContents> ScanSegment(FileSystem& files, const std::string& path,
                                    const std::string& source_name, int64_t commit_high_us) {
  TM_ASSIGN_OR_RETURN(auto reader, SegmentReader::Open(files, path));
  if (reader->footer_damaged())
    return Status(Code::kCorruption, path + ": the footer at its end is damaged",
                  "if it is the newest segment, starting tidemarkd writes the footer again");
  TM_ASSIGN_OR_RETURN(ScannedFrames scanned, ScanFrames(*reader, source_name, commit_high_us));
  SegmentRecord& segment = scanned.contents.segment;
  if (!reader->sealed()) {
    TM_RETURN_IF_ERROR(CheckNoDamagedFooter(files, path, scanned.frames_end));
    return std::move(scanned.contents);
  }
  TM_RETURN_IF_ERROR(CompareWithFooter(*reader, scanned, commit_high_us));
  TM_ASSIGN_OR_RETURN(auto file, files.Open(path, OpenMode::kRead));
  TM_ASSIGN_OR_RETURN(uint64_t stored_xxh64,
                      HashStored(*file, path, reader->footer().stored_bytes));
  if (stored_xxh64 != reader->footer().stored_xxh64) return Differs(*reader, "stored bytes");
  segment.sealed = true;
  segment.reason = reader->footer().reason;
  segment.commit_high_us = std::max(reader->footer().commit_high_us, commit_high_us);
  TM_ASSIGN_OR_RETURN(segment.stored_bytes, file->Size());
  return std::move(scanned.contents);
}

}  // namespace tidemark
