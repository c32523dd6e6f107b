// What a directory holds of an earlier restore, and whether a command goes on with it. Reads only.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pitr/restore/restore_state.h"

namespace tidemark {

// nullopt: nothing of ours. A run that was killed before it wrote restore.json left a claimed
// directory with nothing in it: a state at kClaimed that names no source.
Result<std::optional<RestoreState>> FindEarlierRestore(FileSystem& files,
                                                       const std::string& directory);

// What a command asks for.
struct RestoreRequest {
  std::string source;
  std::string dump_path;    // absolute; "": not named
  uint64_t dump_bytes = 0;  // 0: not known
  Target point;
  Surgery surgery;
};

// kTargetRefused naming what differs, if `request` is not what `state` was begun with. A dump that
// is not named, or cannot be looked at any more, does not differ.
Status CheckSameRequest(const std::string& directory, const RestoreState& state,
                        const RestoreRequest& request);

// `first` and what `second` adds.
Surgery Merged(Surgery first, const Surgery& second);
// What of `earlier` still concerns `wanted` (the rest was done), and all of `given` that is new.
Surgery RemainingSurgery(const Surgery& earlier, const Surgery& given, const GtidSet& wanted);

// Without links, so that a file has one name whatever it is called; "" stays "".
std::string AbsolutePath(const std::string& path);

}  // namespace tidemark
