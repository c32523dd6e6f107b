#include "tools/cli/server_flags.h"

#include <cstdlib>
#include <string>

namespace tidemark::cli {
namespace {

constexpr const char* kArchiveVariable = "TIDEMARK_ARCHIVE";
constexpr const char* kServerVariable = "TIDEMARK_SERVER";
constexpr const char* kServerGroup = "A daemon instead of the archive's files";

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

// Not by CLI11's envname, which would leave open where it came from.
void ArchiveFlag::AddTo(CLI::App& app) {
  path_ = Environment(kArchiveVariable);
  app.add_option_function<std::string>(
         "--archive",
         [this](const std::string& path) {
           path_ = path;
           on_command_line_ = true;
         },
         std::string("the archive's directory (Env:") + kArchiveVariable + ")")
      ->type_name("DIR");
}

void ServerFlags::AddTo(CLI::App& app) {
  const auto add = [&app](const char* flag, std::string* value, const std::string& what,
                          const char* type) {
    app.add_option(flag, *value, what)->type_name(type)->group(kServerGroup);
  };
  options_.endpoint = Environment(kServerVariable);
  app.add_option_function<std::string>(
         "--server",
         [this](const std::string& endpoint) {
           options_.endpoint = endpoint;
           on_command_line_ = true;
         },
         std::string("the tidemarkd to ask, at HOST:PORT or unix:PATH (Env:") + kServerVariable +
             ")")
      ->type_name("ADDRESS")
      ->group(kServerGroup);
  add("--server-token-file", &options_.token.file,
      std::string("file whose first line is our token (else Env:") + kTokenVariable + ")", "FILE");
  add("--server-ca-file", &options_.tls.ca_file,
      "authority that signed its certificate (PEM; else the system's)", "FILE");
  add("--server-name", &options_.tls.server_name, "name that its certificate is for, if not HOST",
      "NAME");
  add("--server-certificate-file", &options_.tls.certificate_file,
      "our certificate (PEM), if it asks for one", "FILE");
  add("--server-key-file", &options_.tls.key_file, "its key (PEM)", "FILE");
  app.add_flag("--server-plaintext", plain_text_,
               "no TLS: anybody in between reads and changes everything, the token too")
      ->group(kServerGroup);
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
  TM_ASSIGN_OR_RETURN(const rpc::Endpoint endpoint, rpc::ParseEndpoint(options.endpoint));
  // On one machine, compressing takes longer than what it saves.
  if (endpoint.is_local()) options.offer_zstd = options.offer_gzip = false;
  return options;
}

Result<bool> AsksServer(const ArchiveFlag& archive, const ServerFlags& server) {
  if (!archive.given() || !server.given()) return server.given();
  if (archive.on_command_line() != server.on_command_line()) return server.on_command_line();
  return Status(Code::kUsage,
                archive.on_command_line()
                    ? std::string("--archive and --server contradict each other")
                    : std::string(kArchiveVariable) + " and " + kServerVariable +
                          " are both in the environment, and contradict each other",
                "name the archive's files, or the daemon that has them");
}

}  // namespace tidemark::cli
