// Loads a mysqldump into the target: our reading of the file (so that .gz and .zst and progress
// work) into one `mysql`.
#pragma once

#include <functional>
#include <string>

#include "pitr/restore/base_backup.h"
#include "pitr/restore/client_access.h"

namespace tidemark {

// `on_progress` is given the bytes of the file read so far and its size; false interrupts. Nothing
// of the load goes to the target's binary log. kTargetRefused with the server's own message if it
// rejects a statement.
Status LoadDump(FileSystem& files, const BaseBackup& backup, const ClientAccess& access,
                const std::string& mysql,
                const std::function<bool(uint64_t done, uint64_t total)>& on_progress);

}  // namespace tidemark
