// What people have decided about a source, kept beside it and not in the index: which of its gaps
// they know of, and that it is not to be archived for now. Two small text files (FORMAT.md), each
// replaced as a whole, durably.
//
// Any thread and any process: who changes the acknowledged gaps holds a lock file of their own
// while it reads, adds and writes, so that the daemon and `pitr` may do it side by side; a source's
// pause is written by the daemon alone. A crash leaves the file of before or the new one. A file
// that cannot be read is an error and is never written over; the gaps themselves are in the
// segments and do not depend on it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "replication/archive/archive_directory.h"
#include "replication/event/gtid_set.h"

namespace tidemark {

inline constexpr uint64_t kOperatorFileBytesMax = 1 << 20;
inline constexpr size_t kOperatorNameBytesMax = 128;
inline constexpr size_t kOperatorReasonBytesMax = 1000;

// Who decided it, when, and why.
struct OperatorNote {
  std::string by;
  int64_t at_us = 0;
  std::string reason;
  bool operator==(const OperatorNote&) const = default;
};
// kUsage: name and reason are a line each, neither empty nor too long.
Status CheckOperatorNote(const OperatorNote& note);

struct GapAcknowledgement {
  GtidSet gtids;
  OperatorNote note;
  bool operator==(const GapAcknowledgement&) const = default;
};

// In the order in which they were made; none if there is no such file. kCorruption,
// kUnsupportedFormat, kIo: the gaps then count as unacknowledged.
Result<std::vector<GapAcknowledgement>> ReadAcknowledgedGaps(const ArchiveDirectory& archive,
                                                             const std::string& source);
// With those of the sources that it continues, as far as it shares their past: these come first.
// Those of one of them that cannot be read do not count; its own status says why.
Result<std::vector<GapAcknowledgement>> ReadAcknowledgedInLineage(const ArchiveDirectory& archive,
                                                                  const std::string& source);
// Adds what of `acknowledgement.gtids` is not acknowledged already, and says what that was: after a
// second time nothing has changed. That these are gaps is the caller's to know. kLocked: somebody
// else is doing it just now. kUsage: the note, or there is no room for more.
Result<GtidSet> AddAcknowledgedGap(const ArchiveDirectory& archive, const std::string& source,
                                   const GapAcknowledgement& acknowledgement);

// nullopt: it is not paused. An error means that it is paused and that nobody can say by whom.
Result<std::optional<OperatorNote>> ReadPause(const ArchiveDirectory& archive,
                                              const std::string& source);
Status WritePause(const ArchiveDirectory& archive, const std::string& source,
                  const OperatorNote& note);
Status RemovePause(const ArchiveDirectory& archive, const std::string& source);

}  // namespace tidemark
