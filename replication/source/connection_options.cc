#include "replication/source/connection_options.h"

#include <arpa/inet.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "replication/base/loopback.h"
#include "replication/base/secret_file.h"

namespace tidemark {
namespace {

constexpr struct {
  TlsMode mode;
  const char* name;
} kTlsModes[] = {{TlsMode::kDisabled, "disabled"},
                 {TlsMode::kPreferred, "preferred"},
                 {TlsMode::kRequired, "required"},
                 {TlsMode::kVerifyCa, "verify-ca"},
                 {TlsMode::kVerifyIdentity, "verify-identity"}};

Status Usage(std::string message, std::string hint = {}) {
  return {Code::kUsage, std::move(message), std::move(hint)};
}

Status ValidateTls(const TlsOptions& tls) {
  bool verifies = tls.mode == TlsMode::kVerifyCa || tls.mode == TlsMode::kVerifyIdentity;
  if (verifies && tls.ca_file.empty()) {
    return Usage(std::string("tls mode ") + TlsModeName(tls.mode) + " needs a CA file",
                 "set the CA file to the PEM file of the authority that signed the source's "
                 "certificate (on the source: `SELECT @@ssl_ca`)");
  }
  if (tls.certificate_file.empty() != tls.key_file.empty()) {
    return Usage("a client certificate and its key go together, and only one of them is set");
  }
  struct NamedFile {
    const char* what;
    const std::string& path;
  };
  for (const NamedFile& file :
       {NamedFile{"CA file", tls.ca_file}, NamedFile{"client certificate", tls.certificate_file},
        NamedFile{"client key", tls.key_file}}) {
    if (!file.path.empty() && access(file.path.c_str(), R_OK) != 0) {
      return Usage(std::string("cannot read the TLS ") + file.what + " " + file.path + ": " +
                   std::strerror(errno));
    }
  }
  return OkStatus();
}

Result<std::string> ReadPasswordFile(const std::string& path) {
  TM_ASSIGN_OR_RETURN(std::string text, ReadSecretLine("password file", path));
  if (text.empty()) return Usage("the first line of password file " + path + " is empty");
  return text;
}

}  // namespace

Result<TlsMode> ParseTlsMode(std::string_view text) {
  for (const auto& known : kTlsModes) {
    if (text == known.name) return known.mode;
  }
  return Usage("'" + std::string(text) + "' is not a tls mode",
               "one of disabled, preferred, required, verify-ca, verify-identity");
}

const char* TlsModeName(TlsMode mode) {
  for (const auto& known : kTlsModes) {
    if (mode == known.mode) return known.name;
  }
  return "unknown";
}

std::string ConnectionOptions::Server() const {
  if (!socket.empty()) return socket;
  bool bare_v6 = host.find(':') != std::string::npos;
  return (bare_v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::string ConnectionOptions::Endpoint() const { return user + "@" + Server(); }

Status ValidateOptions(const ConnectionOptions& options) {
  if (options.host.empty() == options.socket.empty()) {
    return Usage("a source needs either a host or a socket, and exactly one of them");
  }
  if (options.user.empty()) return Usage("a source needs a user to log in as");
  if (!options.host.empty() && options.port == 0) return Usage("port 0 is not a port");
  if (options.connect_timeout_s == 0) return Usage("a connect timeout of 0 s means forever");
  if (options.read_timeout_s == 0) return Usage("a read timeout of 0 s means forever");
  if (!options.password.file.empty() && !options.password.environment_variable.empty()) {
    return Usage("the password is to come from a file and from an environment variable",
                 "keep one of the two");
  }
  return ValidateTls(options.tls);
}

bool MayFetchServerPublicKey(const ConnectionOptions& options) {
  return options.get_server_public_key.value_or(!options.socket.empty() ||
                                                IsLoopback(options.host));
}

Result<std::string> ReadPassword(const PasswordSource& source) {
  if (!source.file.empty()) return ReadPasswordFile(source.file);
  if (source.environment_variable.empty()) return std::string();
  const char* value = std::getenv(source.environment_variable.c_str());
  if (value == nullptr || *value == '\0') {
    return Usage("environment variable " + source.environment_variable +
                 ", which should hold the source's password, is not set");
  }
  return std::string(value);
}

uint32_t AnswerTimeoutSeconds(const ConnectionOptions& options) {
  return std::min(options.read_timeout_s, 2 * options.connect_timeout_s);
}

uint32_t ReadTimeoutSeconds(int64_t heartbeat_us) {
  constexpr int64_t kSecondUs = 1'000'000;
  int64_t heartbeat = std::clamp<int64_t>(heartbeat_us, 1, int64_t{86'400} * kSecondUs);
  return static_cast<uint32_t>((kHeartbeatsPerReadTimeout * heartbeat + kSecondUs - 1) / kSecondUs);
}

}  // namespace tidemark
