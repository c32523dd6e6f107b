// A scan written down as text, so that two scans can be compared and a failure reads well.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "replication/event/stream_scanner.h"

namespace tidemark::testing {

inline const char* KindName(TransactionKind kind) {
  switch (kind) {
    case TransactionKind::kRows: return "rows";
    case TransactionKind::kDdl: return "ddl";
    case TransactionKind::kXaPrepare: return "xa-prepare";
    case TransactionKind::kXaEnd: return "xa-end";
    case TransactionKind::kEmpty: return "empty";
  }
  return "?";
}

// As tests/golden/expect_from_mysqlbinlog writes it.
inline std::string Line(const Transaction& t) {
  std::string tables;
  for (const TableTouch& touch : t.tables) {
    if (!tables.empty()) tables += ",";
    tables += touch.schema + "." + touch.table + "+" + std::to_string(touch.inserted) + "~" +
              std::to_string(touch.updated) + "-" + std::to_string(touch.deleted);
  }
  return t.gtid.ToString() + " " + KindName(t.kind) + " " + std::to_string(t.size()) + " " +
         std::to_string(t.immediate_commit_us) + " " + std::to_string(t.original_commit_us) + " " +
         std::to_string(t.last_committed) + " " + std::to_string(t.sequence_number) + " " +
         (t.compressed ? "1" : "0") + " " + (tables.empty() ? "-" : tables);
}

struct ScanReport {
  std::vector<std::string> transactions;  // Line()
  std::vector<std::string> events;        // offset, type, size, role, flags of each
  std::vector<uint64_t> ends;             // end offsets of the transactions
  std::vector<uint64_t>
      boundaries;  // offsets at which the scan was between events and outside transactions
  std::vector<std::string> ddl;
  Status feed;
  Status finish;
};

inline Status Record(const ScannedEvent& event, bool open, ScanReport* report) {
  report->events.push_back(
      std::to_string(event.offset) + " type " +
      std::to_string(static_cast<int>(event.header.type)) + " size " +
      std::to_string(event.header.size) + " role " + std::to_string(static_cast<int>(event.role)) +
      (event.begins_transaction ? " begins" : "") + (event.finished != nullptr ? " finishes" : "") +
      " head " + std::to_string(event.head.size()));
  if (!open) report->boundaries.push_back(event.offset + event.header.size);
  if (event.finished == nullptr) return OkStatus();
  report->transactions.push_back(Line(*event.finished));
  report->ends.push_back(event.finished->end_offset);
  if (!event.finished->ddl_statement.empty()) {
    report->ddl.push_back(event.finished->ddl_schema + ": " + event.finished->ddl_statement);
  }
  return OkStatus();
}

// `piece_bytes` 0: all at once.
inline ScanReport Scan(std::string_view stream, size_t piece_bytes = 0,
                       ScannerOptions options = {.expect_magic = true}) {
  ScanReport report;
  StreamScanner scanner(options);
  const auto on_event = [&](const ScannedEvent& event) {
    return Record(event, scanner.in_transaction(), &report);
  };
  if (piece_bytes == 0) piece_bytes = std::max<size_t>(stream.size(), 1);
  for (size_t at = 0; at < stream.size() && report.feed.ok(); at += piece_bytes) {
    // A copy of exactly the piece, so that AddressSanitizer sees a read past it.
    const std::vector<uint8_t> piece(
        stream.begin() + static_cast<ptrdiff_t>(at),
        stream.begin() + static_cast<ptrdiff_t>(std::min(at + piece_bytes, stream.size())));
    report.feed = scanner.FeedBytes(piece, on_event);
  }
  if (report.feed.ok()) report.finish = scanner.Finish();
  return report;
}

}  // namespace tidemark::testing
