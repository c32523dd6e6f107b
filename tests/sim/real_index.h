// RocksDB's place in a run: a temporary directory that dies with the run, opened anew in every
// life, and what a power cut makes of it. RocksDB writes its log without fsync, so a power cut sets
// it back to an earlier state: here the one at the life's beginning, or none at all.
#pragma once

#include <memory>
#include <string>

#include "index/index.h"
#include "tests/support/dice.h"
#include "tests/support/temp_dir.h"

namespace tidemark::sim {

class RealIndex {
 public:
  Status Open();              // for one life
  void Close();               // however that life ended
  void PowerCut(Dice& dice);  // after Close
  Index* index() { return index_.get(); }
  // What differs from an index made of the same segments from nothing; empty if nothing does.
  Result<std::string> CompareWithRebuild(ArchiveDirectory& archive);

 private:
  std::string Path() const { return directory_.Path("index"); }
  std::string OlderPath() const { return directory_.Path("older"); }

  testing::TempDir directory_{"tidemark-sim"};
  std::unique_ptr<Index> index_;
};

}  // namespace tidemark::sim
