#include "tools/cli/server_flags.h"

#include <cstdlib>
#include <string>

namespace tidemark::cli {
namespace {

constexpr const char* kServerVariable = "TIDEMARK_SERVER";

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

void ServerFlags::AddTo(CLI::App& app) {
  // Not by CLI11's envname, which would leave open where it came from.
  options_.endpoint = Environment(kServerVariable);
  app.add_option_function<std::string>(
         "--server",
         [this](const std::string& endpoint) {
           options_.endpoint = endpoint;
           on_command_line_ = true;
         },
         std::string("ask this tidemarkd instead of an archive's files (Env:") + kServerVariable +
             ")")
      ->type_name("HOST:PORT|unix:PATH");
  app.add_option("--server-ca-file", options_.tls.ca_file,
                 "authority that signed its certificate (PEM); else the system's")
      ->type_name("FILE");
  app.add_option("--server-name", options_.tls.server_name,
                 "name that its certificate is for, if not HOST")
      ->type_name("NAME");
  app.add_option("--server-token-file", options_.token.file,
                 std::string("file whose first line is our token; else Env:") + kTokenVariable)
      ->type_name("FILE");
  app.add_option("--server-certificate-file", options_.tls.certificate_file,
                 "our certificate (PEM), if it asks for one")
      ->type_name("FILE");
  app.add_option("--server-key-file", options_.tls.key_file, "its key (PEM)")->type_name("FILE");
  app.add_flag("--server-plaintext", plain_text_,
               "no TLS: anybody in between reads and changes everything, the token too");
}

Result<rpc::RpcClientOptions> ServerFlags::Parse() const {
  if (!given())
    return Status(Code::kUsage, "no server is given",
                  std::string("--server HOST:PORT, or ") + kServerVariable);
  rpc::RpcClientOptions options = options_;
  if (plain_text_) options.tls.use = rpc::TlsUse::kOff;
  if (options.token.file.empty() && !Environment(kTokenVariable).empty())
    options.token.environment_variable = kTokenVariable;
  TM_RETURN_IF_ERROR(ValidateOptions(options));
  return options;
}

}  // namespace tidemark::cli
