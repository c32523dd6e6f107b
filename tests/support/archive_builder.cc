#include "tests/support/archive_builder.h"

#include <cstdio>
#include <cstdlib>

#include "replication/archive/gap_room.h"
#include "replication/event/control_events.h"

namespace tidemark::testing {
namespace {

void Must(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "building an archive: %s\n", status.message().c_str());
  std::abort();
}

template <typename T>
T Must(Result<T> result) {
  if (!result.ok()) Must(result.error());
  return std::move(result.value());
}

}  // namespace

ArchiveBuilder::ArchiveBuilder(const std::string& root, const std::string& source)
    : ArchiveBuilder(root, source, Options{}) {}

ArchiveBuilder::ArchiveBuilder(const std::string& root, const std::string& source, Options options)
    : options_(options),
      archive_(PosixFileSystem(), root),
      source_(source),
      log_(options.checksum),
      server_(BuilderUuid()) {
  lock_ = Must(archive_.LockForWriting());
  Must(archive_.CreateSource(source_));
  index_ = Must(Index::OpenForWriting(archive_.IndexPath()));
}

ArchiveBuilder::~ArchiveBuilder() = default;

void ArchiveBuilder::BeginFile(const std::string& name) {
  if (writer_ != nullptr) {
    log_.Rotate(name);
    Append(log_.Take());
    Seal(SealReason::kRotation);
  }
  file_ = name;
  file_position_ = 0;
  log_.BeginFile(set_);
  BeginSegment(0, "");
  std::string bytes = log_.Take();
  uint32_t description_bytes =
      ReadEventHeader(AsBytes(bytes).subspan(kBinlogMagicSize).data()).size;
  format_description_ = bytes.substr(kBinlogMagicSize, description_bytes);
  Append(bytes);
}

void ArchiveBuilder::BeginSegment(uint64_t source_start, const std::string& prefix) {
  SegmentHeader header;
  if (!gap_.missing.empty()) number_ += kSegmentNumbersPerGap;
  header.number = ++number_;
  header.source_name = source_;
  header.server_uuid = server_;
  header.source_file = file_;
  header.source_start = source_start;
  header.prefix_bytes = static_cast<uint32_t>(prefix.size());
  header.created_us = 1;
  header.previous = set_;
  header.gap = std::exchange(gap_, {});
  writer_ = Must(
      SegmentWriter::Create(PosixFileSystem(), SegmentPath(number_), header, AsBytes(prefix), {}));
  catalog_ = std::make_unique<SegmentCatalog>(header, commit_high_us_);
  ScannerOptions options;
  options.expect_magic = true;
  scanner_ = std::make_unique<StreamScanner>(options);
  Must(scanner_->FeedBytes(AsBytes(prefix), [this](const ScannedEvent& event) {
    catalog_->OnEvent(event);
    return OkStatus();
  }));
  raw_offset_ = prefix.size();
}

void ArchiveBuilder::Append(const std::string& bytes) {
  Bytes all = AsBytes(bytes);
  size_t appended = 0;
  Must(scanner_->FeedBytes(all, [&](const ScannedEvent& event) {
    catalog_->OnEvent(event);
    if (event.finished != nullptr) set_.Add(event.finished->gtid);
    if (!catalog_->FrameMayEnd()) return OkStatus();
    size_t end = event.offset + event.header.size - raw_offset_;
    Must(writer_->Append(all.subspan(appended, end - appended)));
    Must(writer_->EndFrame());
    catalog_->EndFrame(raw_offset_ + end);
    appended = end;
    return OkStatus();
  }));
  Must(writer_->Append(all.subspan(appended)));
  raw_offset_ += bytes.size();
  file_position_ += bytes.size();
  if (options_.keep_files) files_[file_] += bytes;
}

void ArchiveBuilder::Add(const TransactionSpec& transaction) {
  if (raw_offset_ >= options_.segment_raw_bytes_max) Continue();
  log_.Add(transaction);
  Append(log_.Take());
}

void ArchiveBuilder::Continue(SealReason reason) {
  Seal(reason);
  std::string prefix(AsText(Bytes(kBinlogMagic)));
  prefix += format_description_;
  prefix += EncodePreviousGtids(set_, {}, options_.checksum);
  BeginSegment(file_position_, prefix);
}

void ArchiveBuilder::Gap(const GtidSet& missing, const std::string& reason) {
  if (writer_ != nullptr) Seal(SealReason::kStop);
  set_.Add(missing);
  gap_ = {missing, reason, 1'700'000'000'000'000};
}

void ArchiveBuilder::AddWholeFile(const std::string& name, std::string_view bytes) {
  if (writer_ != nullptr) Seal(SealReason::kRotation);
  file_ = name;
  file_position_ = 0;
  // Its Previous_gtids event says what the segment builds on.
  StreamScanner scanner(ScannerOptions{.expect_magic = true});
  Must(scanner.FeedBytes(AsBytes(bytes), [&](const ScannedEvent& event) {
    if (event.role == EventRole::kPreviousGtids) {
      set_.Add(Must(ParsePreviousGtids(EventBody(event.head, scanner.checksum()))));
    }
    return OkStatus();
  }));
  BeginSegment(0, "");
  Append(std::string(bytes));
  Seal(SealReason::kRotation);
}

void ArchiveBuilder::Publish() {
  Must(writer_->Flush());
  Must(writer_->file().DataSync());
  DurableBatch batch = catalog_->TakeBatch();
  batch.segment.stored_bytes = writer_->stored_bytes();
  Apply(std::move(batch));
}

void ArchiveBuilder::WriteUnpublished(const TransactionSpec& transaction) {
  Add(transaction);
  Must(writer_->Flush());
}

void ArchiveBuilder::Seal(SealReason reason) {
  DurableBatch batch = catalog_->TakeBatch();
  SegmentFooter footer = catalog_->FooterSoFar();
  footer.reason = reason;
  footer.sealed_us = 2;
  batch.segment.stored_bytes = Must(writer_->Seal(footer));
  batch.segment.sealed = true;
  batch.segment.reason = reason;
  Apply(std::move(batch));
  writer_.reset();
}

void ArchiveBuilder::Apply(DurableBatch batch) {
  batch.source = source_;
  for (FrameRecord& frame : batch.frames) frame.place = writer_->frames().at(frame.frame);
  commit_high_us_ = batch.segment.commit_high_us;
  Must(index_->Apply(batch));
}

void ArchiveBuilder::Finish() {
  if (writer_ != nullptr) Seal(SealReason::kStop);
  Must(index_->Flush());
  index_.reset();
  lock_.reset();
}

}  // namespace tidemark::testing
