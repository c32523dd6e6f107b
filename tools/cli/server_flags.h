// The flags that name a tidemarkd to ask instead of an archive's files. A token never stands on the
// command line: it is in --server-token-file, or else in the environment (TIDEMARK_TOKEN).
#pragma once

#include <CLI/CLI.hpp>

#include "proto/rpc/rpc_client_options.h"
#include "replication/base/status.h"

namespace tidemark::cli {

inline constexpr const char* kTokenVariable = "TIDEMARK_TOKEN";

class ServerFlags {
 public:
  void AddTo(CLI::App& app);
  // A server is named, on the command line or in the environment (TIDEMARK_SERVER).
  bool given() const { return !options_.endpoint.empty(); }
  // It is on the command line: it then wins over TIDEMARK_ARCHIVE, and contradicts --archive. What
  // CLI11 itself cannot tell.
  bool on_command_line() const { return given() && on_command_line_; }
  // Validated; no file is opened yet. kUsage if no server is given.
  Result<rpc::RpcClientOptions> Parse() const;

 private:
  bool plain_text_ = false;
  bool on_command_line_ = false;
  rpc::RpcClientOptions options_;
};

}  // namespace tidemark::cli
