// Any bytes, in two piece sizes, checksums not verified so that the parsers are reached: no crash,
// no endless loop, and the same answer both ways.
#include <algorithm>
#include <cstdlib>

#include "replication/event/stream_scanner.h"

namespace {

using tidemark::Bytes;

struct Answer {
  uint64_t events = 0;
  uint64_t transactions = 0;
  uint64_t rows = 0;
  bool clean =
      false;  // which error it is may differ: a long event is judged before its end has come
  bool operator==(const Answer&) const = default;
};

Answer Scan(Bytes bytes, size_t piece) {
  Answer answer;
  tidemark::StreamScanner scanner({.verify_checksums = false, .expect_magic = true});
  const auto on_event = [&](const tidemark::ScannedEvent& event) {
    ++answer.events;
    if (event.finished == nullptr) return tidemark::OkStatus();
    ++answer.transactions;
    for (const auto& touch : event.finished->tables)
      answer.rows += touch.inserted + touch.updated + touch.deleted;
    return tidemark::OkStatus();
  };
  for (size_t at = 0; at < bytes.size(); at += piece) {
    const tidemark::Status status =
        scanner.FeedBytes(bytes.subspan(at, std::min(piece, bytes.size() - at)), on_event);
    if (!status.ok()) return answer;
  }
  answer.clean = scanner.Finish().ok();
  return answer;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes bytes(data, size);
  if (size > 0 && Scan(bytes, size) != Scan(bytes, 1 + size / 7)) abort();
  return 0;
}
