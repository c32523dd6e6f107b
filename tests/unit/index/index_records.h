// Records made by hand for tests of the index: an archive of one source that never existed.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "replication/archive/records.h"

namespace tidemark::testing {

inline constexpr const char* kUuidA = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
inline constexpr const char* kUuidB = "00000000-0000-0000-0000-0000000000bb";

inline GtidSet Set(const std::string& text) { return std::move(GtidSet::Parse(text).value()); }
inline Gtid G(const std::string& text) { return std::move(Gtid::Parse(text).value()); }
inline std::string A(const std::string& numbers) { return std::string(kUuidA) + ":" + numbers; }
inline std::string B(const std::string& numbers) { return std::string(kUuidB) + ":" + numbers; }

template <typename T>
T Must(Result<T> result) {
  EXPECT_TRUE(result.has_value()) << result.error().message();
  return std::move(*result);
}

inline FrameRecord MakeFrame(uint32_t number, const std::string& gtids, int64_t first_us,
                             int64_t last_us, int64_t high_us) {
  FrameRecord frame;
  frame.frame = number;
  frame.place = {number * kFrameRawBytes, 100 + number * 350'000};
  frame.raw_end = (number + 1) * kFrameRawBytes;
  frame.gtids = Set(gtids);
  frame.transactions = frame.gtids.Count();
  frame.first_commit_us = first_us;
  frame.last_commit_us = last_us;
  frame.commit_high_us = high_us;
  frame.clock_stepped_back = last_us < high_us;
  frame.tables = {{"shop", "orders", 10 * number, 5, 0}, {"shop", "order_lines", 30, 1, 2}};
  return frame;
}

inline DurableBatch MakeBatch(const std::string& source, uint64_t segment,
                              std::vector<FrameRecord> frames) {
  DurableBatch batch;
  batch.source = source;
  SegmentRecord& record = batch.segment;
  record.header.number = segment;
  record.header.source_name = source;
  record.header.server_uuid = Uuid::Parse(kUuidA).value();
  record.header.source_file = "binlog.000001";
  record.header.created_us = 1'700'000'000'000'000;
  for (const FrameRecord& frame : frames) {
    record.raw_bytes = frame.raw_end;
    record.stored_bytes = frame.place.stored_offset + 300'000;
    record.transactions += frame.transactions;
    record.gtids.Add(frame.gtids);
    record.last_commit_us = frame.last_commit_us;
    record.commit_high_us = frame.commit_high_us;
  }
  if (!frames.empty()) record.first_commit_us = frames.front().first_commit_us;
  batch.frames = std::move(frames);
  return batch;
}

}  // namespace tidemark::testing
