// The flags that name what a command asks: an archive's files, or a tidemarkd. A token never stands
// on the command line: it is in --server-token-file, or else in the environment (TIDEMARK_TOKEN).
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "proto/rpc/rpc_client_options.h"
#include "replication/base/status.h"

namespace tidemark::cli {

inline constexpr const char* kTokenVariable = "TIDEMARK_TOKEN";

// --archive, or TIDEMARK_ARCHIVE.
class ArchiveFlag {
 public:
  void AddTo(CLI::App& app);
  bool given() const { return !path_.empty(); }
  bool on_command_line() const { return on_command_line_; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  bool on_command_line_ = false;
};

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

// Whether it is the server that is asked. What is on the command line wins over the environment;
// two of a kind contradict each other: kUsage.
Result<bool> AsksServer(const ArchiveFlag& archive, const ServerFlags& server);

}  // namespace tidemark::cli
