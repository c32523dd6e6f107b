#include "replication/archive/segment_catalog.h"

#include <algorithm>

namespace tidemark {

SegmentCatalog::SegmentCatalog(SegmentHeader header, int64_t commit_high_us) {
  segment_.header = std::move(header);
  segment_.commit_high_us = commit_high_us;
  StartFrame(0);
}

void SegmentCatalog::OnEvent(const ScannedEvent& event) {
  event_end_ = event.offset + event.header.size;
  if (event.begins_transaction) {
    in_transaction_ = true;
    transaction_frame_ = live_.back().record.frame;
  }
  if (event.finished != nullptr) EndTransaction(*event.finished);
  if (in_transaction_) return;
  whole_until_ = event_end_;
  live_.back().changed = true;
  segment_.ends_source_file = (event.role == EventRole::kRotate && !event.header.artificial()) ||
                              event.role == EventRole::kStop;
}

bool SegmentCatalog::FrameMayEnd() const {
  const uint64_t bytes = event_end_ - std::min(event_end_, live_.back().record.place.raw_offset);
  return bytes >= (in_transaction_ ? kFrameRawBytesInTransaction : kFrameRawBytes);
}

void SegmentCatalog::EndFrame(uint64_t raw_end) {
  if (raw_end <= live_.back().record.place.raw_offset) return;
  live_.back().raw_end = raw_end;
  StartFrame(raw_end);
}

void SegmentCatalog::StartFrame(uint64_t raw_offset) {
  LiveFrame frame;
  if (!live_.empty()) frame.record.frame = live_.back().record.frame + 1;
  frame.record.place.raw_offset = raw_offset;
  frame.record.starts_in_transaction = in_transaction_;
  frame.record.commit_high_us = segment_.commit_high_us;
  live_.push_back(std::move(frame));
}

void SegmentCatalog::EndTransaction(const Transaction& transaction) {
  const uint32_t first_live = live_.front().record.frame;
  FrameRecord& record = live_[transaction_frame_ - first_live].record;
  const int64_t commit_us = transaction.immediate_commit_us;
  in_transaction_ = false;

  if (record.transactions == 0) record.first_commit_us = commit_us;
  record.last_commit_us = commit_us;
  // Servers before 8.0 send no commit time: 0 says nothing about the clock.
  if (commit_us != 0 && commit_us < segment_.commit_high_us) record.clock_stepped_back = true;
  ++record.transactions;
  record.gtids.Add(transaction.gtid);
  AddTables(transaction, &record);

  if (segment_.transactions == 0) segment_.first_commit_us = commit_us;
  segment_.last_commit_us = commit_us;
  segment_.commit_high_us = std::max(segment_.commit_high_us, commit_us);
  ++segment_.transactions;
  segment_.gtids.Add(transaction.gtid);
  for (size_t i = transaction_frame_ - first_live; i < live_.size(); ++i) {
    live_[i].record.commit_high_us = segment_.commit_high_us;
    live_[i].changed = true;
  }

  // CREATE TABLE … SELECT is DDL too, although it comes as a transaction with rows.
  if (transaction.kind == TransactionKind::kDdl || !transaction.ddl_statement.empty())
    AddDdl(transaction);
  if (transaction_frame_ != live_.back().record.frame)
    oversize_.push_back({.gtid = transaction.gtid,
                         .commit_us = commit_us,
                         .frame = transaction_frame_,
                         .raw_begin = transaction.begin_offset,
                         .raw_end = transaction.end_offset});
}

void SegmentCatalog::AddTables(const Transaction& transaction, FrameRecord* record) {
  record->tables_omitted += transaction.tables_omitted;
  std::vector<TableTouch>& known = record->tables;
  for (const TableTouch& touch : transaction.tables) {
    // Transactions of one application touch the same tables in the same order: begin where the last
    // search ended.
    size_t at = known.size();
    for (size_t i = 0; i < known.size() && at == known.size(); ++i) {
      const size_t candidate = (table_hint_ + i) % known.size();
      if (known[candidate].table == touch.table && known[candidate].schema == touch.schema)
        at = candidate;
    }
    table_hint_ = at + 1;
    if (at < known.size()) {
      known[at].inserted += touch.inserted;
      known[at].updated += touch.updated;
      known[at].deleted += touch.deleted;
    } else if (known.size() < kTablesPerFrameMax) {
      known.push_back(touch);
    } else {
      ++record->tables_omitted;
    }
  }
}

void SegmentCatalog::AddDdl(const Transaction& transaction) {
  ddl_.push_back({.gtid = transaction.gtid,
                  .commit_us = transaction.immediate_commit_us,
                  .frame = transaction_frame_,
                  .raw_offset = transaction.begin_offset,
                  .schema = transaction.ddl_schema,
                  .statement = transaction.ddl_statement.substr(0, kDdlStatementBytesMax)});
}

uint64_t SegmentCatalog::whole_until() const { return whole_until_; }
bool SegmentCatalog::in_transaction() const { return in_transaction_; }
uint64_t SegmentCatalog::transactions() const { return segment_.transactions; }

DurableBatch SegmentCatalog::TakeBatch() {
  DurableBatch batch;
  segment_.raw_bytes = whole_until_;
  batch.segment = segment_;
  for (LiveFrame& frame : live_) {
    if (!frame.changed || whole_until_ <= frame.record.place.raw_offset) continue;
    frame.record.raw_end =
        frame.raw_end == 0 ? whole_until_ : std::min(frame.raw_end, whole_until_);
    frame.changed = false;
    batch.frames.push_back(frame.record);
  }
  const uint32_t first_live = live_.front().record.frame;
  const uint32_t keep_from = in_transaction_ ? transaction_frame_ : live_.back().record.frame;
  live_.erase(live_.begin(), live_.begin() + (keep_from - first_live));
  batch.ddl = std::exchange(ddl_, {});
  batch.oversize = std::exchange(oversize_, {});
  return batch;
}

SegmentFooter SegmentCatalog::FooterSoFar() const {
  SegmentFooter footer;
  footer.raw_bytes = whole_until_;
  footer.transactions = segment_.transactions;
  footer.gtids = segment_.gtids;
  footer.first_commit_us = segment_.first_commit_us;
  footer.last_commit_us = segment_.last_commit_us;
  footer.commit_high_us = segment_.commit_high_us;
  footer.ends_source_file = segment_.ends_source_file;
  return footer;
}

}  // namespace tidemark
