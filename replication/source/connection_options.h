// How to reach a source and as whom: a plain value, filled from the configuration file and checked
// before use.
//
// A password is never in here: only the name of the file or environment variable that holds it,
// read at the moment of logging in and kept nowhere. Nothing here touches the network. Values are
// owned by whoever holds them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "replication/base/status.h"

namespace tidemark {

// As MySQL's --ssl-mode. kPreferred uses TLS if the source offers it, and so protects against
// nobody who is active on the way; kVerifyIdentity is the one that does.
enum class TlsMode : uint8_t { kDisabled, kPreferred, kRequired, kVerifyCa, kVerifyIdentity };

Result<TlsMode> ParseTlsMode(
    std::string_view text);  // "disabled", …, "verify-ca", "verify-identity"; kUsage
const char* TlsModeName(TlsMode mode);

struct TlsOptions {
  TlsMode mode = TlsMode::kPreferred;
  std::string ca_file;           // PEM; needed by the two verifying modes
  std::string certificate_file;  // PEM; our own, for accounts with REQUIRE X509; only together with
                                 // key_file
  std::string key_file;
  std::string versions;  // "TLSv1.2,TLSv1.3"; empty: the library's default
};

// Both empty: no password. Both set: kUsage.
struct PasswordSource {
  std::string file;                  // its first line; must not be accessible by everyone
  std::string environment_variable;  // the variable's name
};

struct ConnectionOptions {
  std::string host;  // exactly one of host and socket; a host is reached by TCP, also "localhost"
  uint16_t port = 3306;
  std::string socket;  // path
  std::string user;
  PasswordSource password;
  TlsOptions tls;
  uint32_t connect_timeout_s = 10;
  uint32_t read_timeout_s = 60;  // for logging in and queries (but see below), a dump's first event
  // caching_sha2_password without TLS needs the source's RSA key. Fetching it from whoever answers
  // is safe only where nobody can stand in between, so unset means: on a loopback address or a
  // socket only.
  std::optional<bool> get_server_public_key;

  std::string Server() const;    // "host:port" or "/path"
  std::string Endpoint() const;  // "user@host:port" or "user@/path": for messages
};

Status ValidateOptions(const ConnectionOptions& options);  // kUsage, naming the option
bool MayFetchServerPublicKey(const ConnectionOptions& options);

// The first line, without its "\n" or "\r\n". kUsage if it cannot be had, is empty, or anyone may
// read or write the file; the message names the file or variable, never its contents.
Result<std::string> ReadPassword(const PasswordSource& source);

// For the little that is said before a dump: a length that was damaged on a link without TLS makes
// both ends wait for each other, and with semi-sync the source's clients as well.
uint32_t AnswerTimeoutSeconds(const ConnectionOptions& options);

// A link is taken for dead when this many heartbeats in a row did not come.
inline constexpr int64_t kHeartbeatsPerReadTimeout = 3;
uint32_t ReadTimeoutSeconds(int64_t heartbeat_us);  // rounded up, at least 1

}  // namespace tidemark
