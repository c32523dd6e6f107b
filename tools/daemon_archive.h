// What the daemon holds of its archive while it runs: the lock, the space reserve, and the index
// that all its parts share. Opening makes a damaged index anew; what a full disk kept from being
// done is tried again now and then.
//
// Open, Mend and Resize belong to the main loop; the parts say themselves who may use them.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "replication/archive/archive_directory.h"
#include "replication/archive/space_reserve.h"
#include "tools/serialized_index.h"

namespace tidemark {

class DaemonArchive {
 public:
  DaemonArchive(const std::string& root, uint64_t reserve_bytes);

  // kLocked if another daemon has it. `rebuilding` is called before and while the index is made
  // anew, which may take long. A full disk is no error: the index can then be read at most.
  Status Open(const std::function<void()>& rebuilding);
  // Of sources that nobody archives now (all but `workers`', who look after theirs) and of which
  // the index does not have every segment, because it was lost or an import was killed: reads what
  // is missing again. After Open.
  void IndexForgotten(const std::vector<std::string>& workers,
                      const std::function<void()>& rebuilding);
  void Mend();  // at most every few seconds
  void Resize(uint64_t reserve_bytes);

  ArchiveDirectory& directory() { return directory_; }
  const ArchiveDirectory& directory() const { return directory_; }
  SpaceReserve& reserve() { return reserve_; }
  SerializedIndex& index() { return *index_; }  // after Open

 private:
  Status OpenIndex(const std::function<void()>& rebuilding);
  Result<std::unique_ptr<Index>> OpenOrRebuildIndex(const std::function<void()>& rebuilding);
  Status IndexIfForgotten(const std::string& source, const std::function<void()>& rebuilding);
  void NoteReserve(const Status& settled) const;

  ArchiveDirectory directory_;
  SpaceReserve reserve_;
  std::unique_ptr<FileLock> lock_;
  std::unique_ptr<SerializedIndex> index_;
  std::chrono::steady_clock::time_point mended_{};
};

}  // namespace tidemark
