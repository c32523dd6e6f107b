// What the archive's tests share: a small raw binlog, and an ingest of it as the sink does one.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "replication/archive/segment_catalog.h"
#include "replication/archive/segment_reader.h"
#include "replication/archive/segment_recovery.h"
#include "replication/archive/segment_writer.h"
#include "replication/event/stream_scanner.h"
#include "tests/support/memory_file_system.h"
#include "tests/unit/event/stream_builder.h"

namespace tidemark::testing {

inline constexpr char kSegmentPath[] = "/archive/source/segments/0000000001.binlog.zst";

class FixedClock : public Clock {
 public:
  int64_t WallMicroseconds() override { return 1'700'000'000'000'000; }
  int64_t MonotonicMicroseconds() override { return 0; }
};

inline std::string GoldenBinlog(const std::string& name) {
  std::ifstream file(std::string(TIDEMARK_GOLDEN_DIR) + "/binlog/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// `transactions` of one row each, every fourth of `long_rows` rows in events of four.
inline std::string SmallBinlog(int transactions, int long_rows,
                               ChecksumAlgorithm checksum = ChecksumAlgorithm::kCrc32) {
  StreamBuilder builder(checksum);
  builder.Magic().FormatDescription().Event(EventType::kPreviousGtids, GtidSet().Encode());
  for (int i = 1; i <= transactions; ++i) {
    const uint64_t table = static_cast<uint64_t>(i % 3 + 1);
    builder.Add(EventType::kQuery, StreamBuilder::Query("BEGIN"));
    builder.Add(EventType::kTableMap,
                StreamBuilder::SbtestMap(table, "sbtest" + std::to_string(table)));
    const int events = i % 4 == 0 ? long_rows / 4 : 1;
    for (int event = 0; event < events; ++event) {
      std::vector<std::string> rows;
      for (int row = 0; row < (events == 1 ? 1 : 4); ++row)
        rows.push_back(StreamBuilder::SbtestRow(static_cast<uint32_t>(i * 1000 + event * 10 + row) *
                                                2654435761U));
      builder.Add(EventType::kWriteRows, StreamBuilder::Rows(table, rows));
    }
    builder.Add(EventType::kXid, StreamBuilder::Xid());
    builder.Transaction(i);
  }
  return builder.bytes();
}

inline std::vector<std::string> EventsOf(const std::string& binlog) {
  std::vector<std::string> events;
  for (size_t at = kBinlogMagicSize; at < binlog.size();) {
    const uint32_t size = ReadEventHeader(AsBytes(binlog).data() + at).size;
    events.push_back(binlog.substr(at, size));
    at += size;
  }
  return events;
}

// Magic, format description and Previous_gtids.
inline uint32_t PrefixBytesOf(const std::string& binlog) {
  const std::vector<std::string> events = EventsOf(binlog);
  return static_cast<uint32_t>(kBinlogMagicSize + events[0].size() + events[1].size());
}

enum class After { kNothing, kFlush, kEndFrame };
using Policy = std::function<After(size_t event, const SegmentCatalog& catalog)>;

// A frame where the rule of records.h says so, otherwise a flush after each transaction.
inline After ByTheRule(size_t, const SegmentCatalog& catalog) {
  if (catalog.FrameMayEnd()) return After::kEndFrame;
  return catalog.in_transaction() ? After::kNothing : After::kFlush;
}

struct Ingested {
  struct Point {  // where the writer flushed outside any transaction
    uint64_t raw = 0;
    uint64_t stored = 0;
  };
  std::vector<Point> points;
  std::vector<FramePlace> frames;
  std::vector<uint64_t> boundaries;  // raw offsets outside any transaction
  DurableBatch records;              // all batches, later records replacing earlier ones
};

inline void Accumulate(DurableBatch batch, DurableBatch* all) {
  for (FrameRecord& frame : batch.frames) {
    if (frame.frame < all->frames.size()) {
      all->frames[frame.frame] = std::move(frame);
    } else {
      ASSERT_EQ(frame.frame, all->frames.size());
      all->frames.push_back(std::move(frame));
    }
  }
  all->segment = std::move(batch.segment);
  std::move(batch.ddl.begin(), batch.ddl.end(), std::back_inserter(all->ddl));
  std::move(batch.oversize.begin(), batch.oversize.end(), std::back_inserter(all->oversize));
}

inline SegmentHeader HeaderFor(uint32_t prefix_bytes = 0) {
  SegmentHeader header;
  header.number = 1;
  header.source_name = "source";
  header.source_file = "binlog.000001";
  header.prefix_bytes = prefix_bytes;
  header.source_start = prefix_bytes;  // the copy is as long as what it is a copy of
  header.created_us = 1;
  return header;
}

// Writes `binlog` to kSegmentPath. The first `prefix_bytes` of it are the prefix, the rest comes
// event by event.
inline Ingested Ingest(FileSystem& files, const std::string& binlog, const Policy& policy,
                       bool seal, uint32_t prefix_bytes = 0) {
  Ingested result;
  const SegmentHeader header = HeaderFor(prefix_bytes);
  auto created =
      SegmentWriter::Create(files, kSegmentPath, header, AsBytes(binlog).first(prefix_bytes), {});
  EXPECT_TRUE(created.ok()) << created.error().message();
  if (!created.ok()) return result;
  SegmentWriter& writer = **created;
  SegmentCatalog catalog(header, 0);
  StreamScanner scanner(ScannerOptions{.start_offset = kBinlogMagicSize});
  if (prefix_bytes == 0) {
    EXPECT_TRUE(writer.Append(kBinlogMagic).ok());
  }
  const std::vector<std::string> events = EventsOf(binlog);
  for (size_t i = 0; i < events.size(); ++i) {
    ScannedEvent event;
    const Status fed = scanner.FeedEvent(AsBytes(events[i]), &event);
    EXPECT_TRUE(fed.ok()) << fed.message();
    catalog.OnEvent(event);
    const uint64_t end = event.offset + events[i].size();
    if (end > prefix_bytes) {
      EXPECT_TRUE(writer.Append(AsBytes(events[i])).ok());
    }
    if (!catalog.in_transaction()) result.boundaries.push_back(end);
    const After after = end < prefix_bytes ? After::kNothing : policy(i, catalog);
    if (after == After::kNothing) continue;
    EXPECT_TRUE((after == After::kFlush ? writer.Flush() : writer.EndFrame()).ok());
    if (after == After::kEndFrame) catalog.EndFrame(writer.raw_bytes());
    if (!catalog.in_transaction())
      result.points.push_back({writer.raw_bytes(), writer.stored_bytes()});
    Accumulate(catalog.TakeBatch(), &result.records);
  }
  result.frames = writer.frames();
  if (seal) {
    SegmentFooter footer = catalog.FooterSoFar();
    footer.reason = SealReason::kRotation;
    footer.sealed_us = 2;
    catalog.EndFrame(writer.raw_bytes());
    Accumulate(catalog.TakeBatch(), &result.records);
    auto sealed = writer.Seal(footer);
    EXPECT_TRUE(sealed.ok()) << sealed.error().message();
    result.records.segment.sealed = true;
    result.records.segment.reason = SealReason::kRotation;
    result.records.segment.stored_bytes = sealed.ok() ? *sealed : 0;
  }
  for (FrameRecord& frame : result.records.frames) frame.place = result.frames[frame.frame];
  return result;
}

inline std::string Describe(const FrameRecord& frame) {
  std::string text =
      "frame " + std::to_string(frame.frame) + " raw " + std::to_string(frame.place.raw_offset) +
      "-" + std::to_string(frame.raw_end) + " stored " + std::to_string(frame.place.stored_offset) +
      (frame.starts_in_transaction ? " inside" : "") + " transactions " +
      std::to_string(frame.transactions) + " " + frame.gtids.ToString() + " times " +
      std::to_string(frame.first_commit_us) + " " + std::to_string(frame.last_commit_us) + " " +
      std::to_string(frame.commit_high_us) + (frame.clock_stepped_back ? " stepped" : "");
  for (const TableTouch& table : frame.tables)
    text += " " + table.schema + "." + table.table + " " + std::to_string(table.inserted) + "/" +
            std::to_string(table.updated) + "/" + std::to_string(table.deleted);
  return text + " omitted " + std::to_string(frame.tables_omitted) + "\n";
}

// Everything a batch says about one segment, as text: two batches are equal if their texts are.
inline std::string Describe(const DurableBatch& batch) {
  const SegmentRecord& segment = batch.segment;
  std::string text =
      "segment " + std::to_string(segment.header.number) + " raw " +
      std::to_string(segment.raw_bytes) + " transactions " + std::to_string(segment.transactions) +
      " " + segment.gtids.ToString() + " times " + std::to_string(segment.first_commit_us) + " " +
      std::to_string(segment.last_commit_us) + " " + std::to_string(segment.commit_high_us) +
      (segment.sealed ? std::string(" sealed ") + SealReasonName(segment.reason) : " unsealed") +
      (segment.ends_source_file ? " ends file\n" : "\n");
  for (const FrameRecord& frame : batch.frames) text += Describe(frame);
  for (const DdlRecord& ddl : batch.ddl)
    text += "ddl " + ddl.gtid.ToString() + " " + std::to_string(ddl.commit_us) + " frame " +
            std::to_string(ddl.frame) + " at " + std::to_string(ddl.raw_offset) + " " + ddl.schema +
            ": " + ddl.statement + "\n";
  for (const OversizeRecord& big : batch.oversize)
    text += "oversize " + big.gtid.ToString() + " " + std::to_string(big.commit_us) + " frame " +
            std::to_string(big.frame) + " raw " + std::to_string(big.raw_begin) + "-" +
            std::to_string(big.raw_end) + "\n";
  return text;
}

// The raw bytes of a whole segment, through the walker; `status` gets how the walk ended.
inline std::string WalkRaw(FileSystem& files, Status* status) {
  std::string raw;
  auto reader = SegmentReader::Open(files, kSegmentPath);
  if (!reader.ok()) {
    *status = reader.error();
    return raw;
  }
  *status =
      (*reader)->Walk({.on_block =
                           [&](Bytes bytes, uint64_t) {
                             raw.append(AsText(bytes));
                             return OkStatus();
                           },
                       .on_frame_end = [](FramePlace, uint64_t, uint64_t) { return OkStatus(); }});
  return raw;
}

}  // namespace tidemark::testing
