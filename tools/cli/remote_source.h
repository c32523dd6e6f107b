// One source of a tidemarkd's archive. Internal to remote_archive.
#pragma once

#include <memory>
#include <string>

#include "pitr/archive_access.h"
#include "tools/cli/remote_methods.h"

namespace tidemark::cli {

// Asks the server for its full name. `remote` outlives it.
Result<std::unique_ptr<SourceAccess>> OpenRemoteSource(const rpc::RpcClientOptions& options,
                                                       const std::string& source, Remote& remote);

}  // namespace tidemark::cli
