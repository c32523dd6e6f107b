// The archive of a tidemarkd, as commands ask about it: calls of tidemark.v1 (proto/), whose
// messages are turned back into our values (tools/rpc/convert.h). Errors are the server's own;
// kSourceUnavailable if it cannot be reached, see rpc_client.h.
#pragma once

#include <memory>
#include <string>

#include "pitr/archive_access.h"
#include "tools/cli/remote_methods.h"

namespace tidemark::cli {

class RemoteArchive : public ArchiveAccess {
 public:
  // Reads the files that the options name; does not connect. `source`: the one that is chosen; "":
  // all, or the only one. kUsage.
  static Result<std::unique_ptr<ArchiveAccess>> Create(const rpc::RpcClientOptions& options,
                                                       const std::string& source,
                                                       Interruption interrupted);

  const std::string& name() const override { return options_.endpoint; }
  Result<std::vector<SourceState>> ReadStatus() override;
  Result<std::vector<std::string>> SourceNames() override;
  Result<VerifyReport> Verify(const std::string& source, const OnVerified& progress) override;
  Result<std::unique_ptr<SourceAccess>> OpenSource() override;

 private:
  RemoteArchive(rpc::RpcClientOptions options, std::string source, Remote remote)
      : options_(std::move(options)), source_(std::move(source)), remote_(std::move(remote)) {}

  const rpc::RpcClientOptions options_;
  const std::string source_;
  Remote remote_;
};

}  // namespace tidemark::cli
