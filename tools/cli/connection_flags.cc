#include "tools/cli/connection_flags.h"

#include "replication/source/candidate_probe.h"

namespace tidemark::cli {

void ConnectionFlags::AddTo(CLI::App& command) {
  command.add_option("--host", options_.host, "the server's host")->type_name("HOST");
  command.add_option("--port", options_.port, "its port")->capture_default_str();
  command.add_option("--socket", options_.socket, "or its socket")->type_name("PATH");
  AddLoginTo(command);
}

void ConnectionFlags::AddLoginTo(CLI::App& command) {
  options_.user = "root";
  command.add_option("--user", options_.user, "account")->capture_default_str();
  command
      .add_option("--password-file", options_.password.file,
                  "file whose first line is the password")
      ->type_name("FILE");
  command
      .add_option("--password-environment", options_.password.environment_variable,
                  "environment variable that holds it")
      ->type_name("NAME");
  command.add_option("--tls", tls_, "disabled, preferred, required, verify-ca or verify-identity")
      ->capture_default_str();
  command.add_option("--tls-ca-file", options_.tls.ca_file, "certificate authority (PEM)")
      ->type_name("FILE");
  command
      .add_option("--tls-certificate-file", options_.tls.certificate_file, "our certificate (PEM)")
      ->type_name("FILE");
  command.add_option("--tls-key-file", options_.tls.key_file, "its key (PEM)")->type_name("FILE");
}

Result<ConnectionOptions> ConnectionFlags::Parse() const {
  ConnectionOptions options = options_;
  TM_ASSIGN_OR_RETURN(options.tls.mode, ParseTlsMode(tls_));
  TM_RETURN_IF_ERROR(ValidateOptions(options));
  return options;
}

Result<ConnectionOptions> ConnectionFlags::ParseFor(const std::string& server) const {
  ConnectionFlags named = *this;
  if (server.find('/') != std::string::npos) {
    named.options_.socket = server;
    return named.Parse();
  }
  TM_ASSIGN_OR_RETURN(const HostPort host, HostPort::Parse(server));
  named.options_.host = host.host;
  named.options_.port = host.port;
  return named.Parse();
}

}  // namespace tidemark::cli
