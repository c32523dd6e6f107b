// How a client reaches a Tidemark server: where, how protected, as whom, and how long it waits.
//
// Values; no secrets in them: a token is named by the file or environment variable that holds it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "replication/base/status.h"

namespace tidemark::rpc {

// "HOST:PORT", "[V6]:PORT" or "unix:/PATH".
struct Endpoint {
  std::string host;  // without brackets; empty for a unix socket
  uint16_t port = 0;
  std::string path;  // of a unix socket

  bool is_unix() const { return !path.empty(); }
  bool is_local() const;          // a unix socket, "localhost", 127.0.0.0/8 or ::1
  std::string Text() const;       // as it was written
  std::string Authority() const;  // for HTTP's Host
};
Result<Endpoint> ParseEndpoint(std::string_view text);  // kUsage

enum class TlsUse : uint8_t {
  kDefault,  // on; but off on this machine (Endpoint::is_local) unless one of the TLS options is
             // set
  kOn,
  kOff,  // in plain text wherever it goes: only because somebody said so
};

// The server's certificate is always verified: against ca_file, else the system's authorities.
struct ClientTlsOptions {
  TlsUse use = TlsUse::kDefault;
  std::string ca_file = {};           // PEM
  std::string server_name = {};       // expected in the certificate; empty: the endpoint's host
  std::string certificate_file = {};  // PEM, ours; only together with key_file
  std::string key_file = {};
};

// Both empty: no token. Both set: kUsage.
struct TokenSource {
  std::string file;                  // its first line; must not be accessible by everyone
  std::string environment_variable;  // the variable's name
};

struct RetryOptions {
  uint32_t attempts_max = 4;                 // the first included; 1: never again
  std::chrono::milliseconds pause_min{100};  // before the second attempt; doubled before each later
  std::chrono::milliseconds pause_max{5000};
};

struct RpcClientOptions {
  std::string endpoint;
  ClientTlsOptions tls;
  TokenSource token;
  std::chrono::milliseconds connect_timeout{10'000};   // look-up, connecting and TLS together
  std::chrono::milliseconds default_deadline{60'000};  // of a unary call, its retries included
  uint32_t message_bytes_max = 64 << 20;  // one response message, as sent and as decompressed
  bool offer_zstd = true;
  bool offer_gzip = true;
  RetryOptions retry;
  std::string user_agent = "tidemark-pitr";
};

// kUsage, naming what is wrong. No file is opened.
Status ValidateOptions(const RpcClientOptions& options);
bool UsesTls(const RpcClientOptions& options, const Endpoint& endpoint);

// The first line, without its end. kUsage if it cannot be had, is empty or cannot stand in an HTTP
// header, or if anyone may read or write the file; the message never holds the contents.
Result<std::string> ReadToken(const TokenSource& source);

}  // namespace tidemark::rpc
