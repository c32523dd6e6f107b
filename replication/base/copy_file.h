// One file's bytes into a new one, durably, in bounded memory.
#pragma once

#include <functional>
#include <string>

#include "replication/base/file_system.h"

namespace tidemark {

// `to` must not be there; its name is the caller's to sync. What an error leaves of it stays.
// kInterrupted as soon as `give_up`, asked before each piece, says so.
Status CopyDurably(FileSystem& files, const std::string& from, const std::string& to,
                   const std::function<bool()>& give_up = {});

}  // namespace tidemark
