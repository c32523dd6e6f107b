// Lineages: sources of one archive that share a past (replication/sink/lineage.h). A question is
// always asked in one of them; these values say in which, and what the others are. Reading them
// changes nothing; an identity that cannot be read counts as one that tells of no other source.
#pragma once

#include <string>
#include <vector>

#include "replication/archive/archive_directory.h"

namespace tidemark {

// `source` continues `fork.parent`.
struct LineageFork {
  std::string source;
  SourceFork fork;
  bool operator==(const LineageFork&) const = default;
};

struct Lineage {
  std::vector<LineageFork> continues;  // oldest first, the last one is the source's own beginning
  std::vector<LineageFork> continued_by;  // in order of name
  bool empty() const { return continues.empty() && continued_by.empty(); }
  bool operator==(const Lineage&) const = default;
};

Lineage ReadLineage(const ArchiveDirectory& archive, const std::string& source);

// The other sources with which it shares a past: those that it continues, and all that continue any
// of them, as far as the archive has them. In order of name.
std::vector<std::string> RelatedSources(const ArchiveDirectory& archive, const std::string& source);

}  // namespace tidemark
