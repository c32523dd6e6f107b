// The room in the numbering of segments in front of one that begins behind a gap, and what is left
// of gaps. A gap is recorded in the header of the segment behind it, for ever: what is archived
// later of what was missing (`pitr import`) goes into segments of its own in that room, and is
// subtracted from what the header says (FORMAT.md, "Numbers").
//
// Readers only. Believes headers and footers as far as SegmentReader does. One thread per call.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "replication/archive/archive_directory.h"

namespace tidemark {

// Persisted in the numbers of segments: with fewer, archives from before would have less room than
// import believes. A gap of more segments than that (25 TB at their usual size) cannot be filled.
inline constexpr uint64_t kSegmentNumbersPerGap = 100'000;

// Behind the name of a segment that is being imported: no segment yet (ArchiveDirectory::Segments).
inline constexpr char kImportSuffix[] = ".import.new";
// What an import that was killed has left. The caller holds the archive's lock.
Status RemoveUnfinishedImport(ArchiveDirectory& archive, const std::string& source);

// Numbers are missing between two neighbours: OK if the one behind begins behind a gap, and builds
// on nothing else that the one in front does not end with. kGap otherwise: a segment file is lost.
Status CheckRoom(const ArchiveDirectory& archive, const std::string& source, uint64_t before,
                 uint64_t behind);

// What of these gaps, in archive order, is left where `archived` is archived. Nothing is in two of
// them: the first one keeps it.
std::vector<GapRecord> RemainingGaps(std::vector<GapRecord> recorded, const GtidSet& archived);

// What the segments around rooms say, without reading the others.
struct RoomContents {
  GtidSet missing;             // of the gaps that have room; what was imported is not missing
  int64_t commit_high_us = 0;  // the highest commit time up to any imported segment; 0: none
};
// `numbers`: as ArchiveDirectory::Segments gives them, all sealed, but for the last one perhaps.
Result<RoomContents> ReadRooms(const ArchiveDirectory& archive, const std::string& source,
                               const std::vector<uint64_t>& numbers);

}  // namespace tidemark
