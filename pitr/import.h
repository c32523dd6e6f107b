// Puts what binlog files hold of an archive's gaps into the archive (`pitr import`): the gaps
// shrink, and everything that reads the archive follows.
//
// Writes as the daemon does, in its place: the archive's LOCK is held throughout, and the last
// segment is recovered first if a crash left it open. One thread (and the pipeline's). Whatever
// moment it is killed at, the archive is what it was, or has some of the imported segments, in
// archive order from the first on, each whole; the same import then brings the rest. Segments are
// made under names that nobody reads, and renamed one after the other once all of them are durable.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "pitr/archive_view.h"
#include "pitr/import_survey.h"
#include "replication/base/clock.h"
#include "replication/sink/session.h"

namespace tidemark {

// For progress.
enum class ImportStep : uint8_t { kReading, kPlanning, kWriting, kIndexing };

struct ImportRequest {
  std::vector<std::string> paths;  // in any order; the files of one history
  SurveyOptions survey;
  bool dry_run = false;
  SessionLimits limits;
  // `total` 0: not known. False interrupts.
  std::function<bool(ImportStep step, uint64_t done, uint64_t total)> progress;
};

struct ImportedFile {
  SurveyedFile survey;
  GtidSet taken;  // or would be
};

struct ImportReport {
  std::string source;
  std::vector<ImportedFile> files;  // in the order of their histories
  GtidSet taken;
  uint64_t segments = 0;             // made of it
  std::vector<GapRecord> remaining;  // gaps
  std::vector<std::string> warnings;
};

// On an archive whose daemon does not run; `source` may be empty if it has one only. kLocked if it
// does run. Nothing has changed on: kUsage, kDivergence, kTruncated, kCorruption,
// kUnsupportedFormat of the files or their fit; kInterrupted.
Result<ImportReport> ImportBinlogs(FileSystem& files, Clock& clock, const std::string& root,
                                   const std::string& source, const ImportRequest& request);

// What that does once the archive is its own: `view` is over `index`, of a source that has
// been recovered and healed. nullptr for `index`: a dry run.
Result<ImportReport> ImportInto(ArchiveView& view, Index* index, Clock& clock,
                                const ImportRequest& request);

}  // namespace tidemark
