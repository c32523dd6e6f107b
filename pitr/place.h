// The three ways to ask for a transaction, and the answer with its neighbours: what `pitr locate`
// shows.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "pitr/locator.h"

namespace tidemark {

struct CommittedFrom {
  int64_t time_us = 0;
};

struct FilePosition {
  std::string file;
  uint64_t position = 0;
};

// This transaction; the first in archive order committed at or after a time; the one at a place of
// the source's binary log, or else the next in that file.
using Place = std::variant<Gtid, CommittedFrom, FilePosition>;

// With the details of the one that was asked for, however long it is. kNotFound, and as of Locator.
Result<Neighbourhood> FindPlace(Locator& locator, const Place& place);

}  // namespace tidemark
