// Which server wrote a binlog file. The file itself does not say: it has the server's id, which
// several may have had, and the GTIDs of what was committed on it first, which are of its UUID
// unless a person or a group gave them. The archive knows whose id was which; together they tell.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "pitr/archive_view.h"

namespace tidemark {

// Whose GTID the first transaction has that was committed on the file's own server first; nullopt:
// there is none, as in a replica's file. What is wrong with the file is its reader's to say.
// `go_on`: false interrupts, as if there were none.
std::optional<Uuid> OwnOrigin(FileSystem& files, const std::string& path,
                              const std::function<bool()>& go_on);

class KnownServers {
 public:
  // Those that the archive has a segment of. kIo, kCorruption of the segments that are looked at.
  static Result<KnownServers> Of(ArchiveView& view);

  // `told`: what the user says. nullopt: nobody knows. kUsage: it was another one than `told`.
  Result<std::optional<Uuid>> WriterOf(const std::string& path, uint32_t server_id,
                                       const std::optional<Uuid>& own_origin,
                                       const std::optional<Uuid>& told) const;

 private:
  Status CheckTold(const std::string& path, uint32_t server_id,
                   const std::optional<Uuid>& own_origin, const Uuid& told) const;

  std::map<uint32_t, std::set<Uuid>> by_id_;
  std::map<Uuid, std::set<Uuid>> origins_;  // of the transactions in each server's segments
};

}  // namespace tidemark
