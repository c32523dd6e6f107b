// The flags that name a running MySQL server. A password never stands on the command line.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "replication/source/connection_options.h"

namespace tidemark::cli {

class ConnectionFlags {
 public:
  void AddTo(CLI::App& command);
  void AddLoginTo(CLI::App& command);  // the same without where it is
  bool given() const { return !options_.host.empty() || !options_.socket.empty(); }
  Result<ConnectionOptions> Parse() const;  // validated
  // With AddLoginTo: to `server`, which is HOST, HOST:PORT or the path of a socket.
  Result<ConnectionOptions> ParseFor(const std::string& server) const;

 private:
  ConnectionOptions options_;
  std::string tls_ = "preferred";
};

}  // namespace tidemark::cli
