#include "tools/rpc/transaction_cutter.h"

#include "proto/rpc/rpc_error.h"
#include "replication/event/control_events.h"
#include "replication/event/gtid_event.h"

namespace tidemark::rpc {
namespace {

// The cursor that the events come from has checked every checksum.
ScannerOptions Options() {
  ScannerOptions options;
  options.verify_checksums = false;
  options.count_rows = false;
  return options;
}

}  // namespace

TransactionCutter::TransactionCutter() : scanner_(Options()) {}

Status TransactionCutter::OnFormatDescription(Bytes event) {
  TM_RETURN_IF_ERROR(scanner_.FeedBytes(event, [](const ScannedEvent&) { return OkStatus(); }));
  from_ = scanner_.offset();
  return OkStatus();
}

Status TransactionCutter::OnEvents(Bytes piece, const std::string& source_file,
                                   v1::StreamTransactionsResponse* message) {
  piece_ = piece;
  piece_begin_ = scanner_.offset();
  source_file_ = &source_file;
  message_ = message;
  TM_RETURN_IF_ERROR(
      scanner_.FeedBytes(piece, [this](const ScannedEvent& event) { return OnEvent(event); }));
  const uint64_t piece_end = piece_begin_ + piece.size();
  if (open_) {
    TakeUntil(piece_end, false);
  } else {
    const uint64_t keep_from = std::max(from_, piece_begin_);
    kept_.append(AsText(piece.subspan(keep_from - piece_begin_)));
  }
  return OkStatus();
}

Status TransactionCutter::OnEvent(const ScannedEvent& event) {
  if (event.begins_transaction) {
    GtidEvent gtid;
    if (!ParseGtidEvent(event.header.type, EventBody(event.head, event.checksum), &gtid))
      return Status(Code::kCorruption, "a Gtid event cannot be read");
    open_ = Open{};
    open_->begin = event.offset;
    open_->head.set_gtid(gtid.gtid.ToString());
    open_->head.set_commit_time_us(gtid.immediate_commit_us);
    open_->head.set_original_commit_time_us(gtid.original_commit_us);
    open_->head.set_source_file(ValidUtf8(*source_file_));
    TM_CHECK(from_ == event.offset);  // nothing stands between transactions
  }
  if (event.finished == nullptr || !open_) return OkStatus();
  TakeUntil(event.offset + event.header.size, true);
  open_.reset();
  return OkStatus();
}

void TransactionCutter::TakeUntil(uint64_t end, bool last) {
  if (from_ == end && !last) return;
  const int parts = message_->parts_size();
  v1::TransactionPart* part = parts == 0 ? nullptr : message_->mutable_parts(parts - 1);
  if (part == nullptr || part->last()) {
    part = message_->add_parts();
    *part = open_->head;
    part->set_offset(from_ - open_->begin);
  }
  if (!kept_.empty()) {
    part->mutable_data()->append(kept_);
    from_ += kept_.size();
    kept_.clear();
  }
  part->mutable_data()->append(AsText(piece_.subspan(from_ - piece_begin_, end - from_)));
  part->set_last(last);
  from_ = end;
}

}  // namespace tidemark::rpc
