// Re-reads everything and trusts nothing: frame and event checksums, SHA-256, transaction
// boundaries, GTID continuity from segment to segment, footers, and the index against what was
// read.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "pitr/archive_view.h"

namespace tidemark {

struct VerifyFinding {
  Code code = Code::kCorruption;  // kCorruption, kTruncated, kGap, kUnsupportedFormat, kIo
  uint64_t segment = 0;           // 0: the archive as a whole
  std::string message;
};

struct VerifyReport {
  uint64_t segments = 0;
  uint64_t transactions = 0;
  uint64_t raw_bytes = 0;
  uint64_t stored_bytes = 0;
  GtidSet gtids;
  std::vector<VerifyFinding> findings;  // empty: all is well. Recorded gaps are not findings.
  std::vector<GapRecord> gaps;
  // Of `segments`: those of an import that runs, or was killed. No finding: the index gets to know
  // them when it ends, is done again, or the daemon starts.
  uint64_t not_indexed_yet = 0;
};

// Goes on after a finding, so that one run names all damage. Works beside a running daemon: what
// was published when it started is verified. Segment by segment; the view must outlive it and is
// not refreshed meanwhile. One thread at a time.
class Verification {
 public:
  explicit Verification(ArchiveView& view);
  ~Verification();
  // Reads one more segment. False: there is none left, and report() is complete. An error only if
  // it cannot be looked for damage.
  Result<bool> Step();
  const VerifyReport& report() const;
  uint64_t segment() const;  // the number of the one read last; 0: none yet

 private:
  class Reading;
  std::unique_ptr<Reading> reading_;
};

// All of it. `progress` is called after each segment; returning false interrupts (kInterrupted).
Result<VerifyReport> VerifyArchive(ArchiveView& view,
                                   const std::function<bool(const VerifyReport&)>& progress);

}  // namespace tidemark
