// An archive as commands ask about it, wherever it is: its files on this machine
// (local_archive.h), or a tidemarkd that has them (tools/cli/remote_archive.h). The same questions,
// the same values, the same classes of error: who asks cannot tell the two apart.
//
// One thread, but for what feeds() gives. What is opened does not outlive what it was opened from.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "pitr/acknowledge.h"
#include "pitr/event_feed.h"
#include "pitr/event_stream.h"
#include "pitr/place.h"
#include "pitr/planner.h"
#include "pitr/source_summary.h"
#include "pitr/timeline.h"
#include "pitr/verify.h"

namespace tidemark {

struct SourceState {
  SourceSummary summary;
  std::optional<LiveState> live;  // nullopt: no daemon is at work
};

struct SegmentFile {
  SegmentRecord record;
  std::string path;  // on the archive's machine
};

struct FoundPlace {
  Neighbourhood around;
  std::string segment_path;  // of what was found, on the archive's machine
};

struct ProvedPlan {
  Plan plan;
  std::string source_version;            // of the server that wrote the last of it; "": it is empty
  std::set<uint32_t> source_server_ids;  // of the servers whose files it begins and ends with
};

// One source of it.
class SourceAccess {
 public:
  virtual ~SourceAccess() = default;
  virtual const std::string& source() const = 0;

  virtual Result<Coverage> ReadCoverage() = 0;
  virtual Result<std::set<Uuid>> ServerUuids() = 0;  // that were archived
  virtual Result<std::vector<SegmentFile>> ListSegments() = 0;
  virtual Result<Timeline> ReadTimeline(const TimelineRange& range) = 0;
  virtual Result<FoundPlace> Locate(const Place& place) = 0;   // as FindPlace
  virtual Result<Boundary> Resolve(const Target& target) = 0;  // as Locator::Resolve
  // As MakePlan, to the boundary that `target` has now. `for_pipe`: also kUnreachableTarget if
  // mysqlbinlog | mysql cannot carry it.
  virtual Result<ProvedPlan> MakePlan(const Target& target, const GtidSet& base,
                                      const Surgery& surgery, bool for_pipe) = 0;

  // As tidemark::AcknowledgeGaps. A server adds who asks to the note's name, and takes its own
  // time.
  virtual Result<Acknowledged> AcknowledgeGaps(const GapAcknowledgement& gaps) = 0;

  // What is before the boundary; as EventStream::WriteRange.
  virtual Status WriteEvents(const Boundary& until, const GtidSet& exclude, const GtidSet& only,
                             const EventStream::Sink& sink, StreamProgress* progress) = 0;
  // As EventStream::WriteSourceFile.
  virtual Status WriteSourceFile(const std::string& file, const EventStream::Sink& sink,
                                 bool* complete) = 0;
  // For a port that serves replicas, by threads of its own. May outlive this object.
  virtual OpenFeed feeds() const = 0;
};

class ArchiveAccess {
 public:
  // Returning false interrupts (kInterrupted).
  using OnVerified = std::function<bool(uint64_t raw_bytes, uint64_t raw_bytes_total)>;
  virtual ~ArchiveAccess() = default;
  // For people: its directory, or the server's address.
  virtual const std::string& name() const = 0;

  // Of all sources, or the one that is chosen; in order of name.
  virtual Result<std::vector<SourceState>> ReadStatus() = 0;
  virtual Result<std::vector<std::string>> SourceNames() = 0;
  virtual Result<VerifyReport> Verify(const std::string& source, const OnVerified& progress) = 0;

  // The source that is chosen, or the only one. kNotFound; kUsage naming the choices.
  virtual Result<std::unique_ptr<SourceAccess>> OpenSource() = 0;
};

}  // namespace tidemark
