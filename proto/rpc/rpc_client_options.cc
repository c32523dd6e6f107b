#include "proto/rpc/rpc_client_options.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "replication/base/loopback.h"
#include "replication/base/secret_file.h"

namespace tidemark::rpc {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr size_t kHostBytesMax = 253;  // RFC 1035
constexpr const char* kEndpointHint = "HOST:PORT, [IPV6]:PORT or unix:/PATH";

Status Usage(std::string message, std::string hint = {}) {
  return Status(Code::kUsage, std::move(message), std::move(hint));
}

bool IsVisibleAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

Result<Endpoint> ParseUnix(std::string_view path) {
  if (!path.starts_with('/') || path.size() >= sizeof(sockaddr_un::sun_path) ||
      path.find('\0') != std::string_view::npos)
    return Usage("'" + std::string(path) + "' is not a unix socket's path",
                 "an absolute path of less than " + std::to_string(sizeof(sockaddr_un::sun_path)) +
                     " bytes");
  Endpoint endpoint;
  endpoint.path = path;
  return endpoint;
}

}  // namespace

bool Endpoint::is_local() const { return is_unix() || IsLoopback(host); }

std::string Endpoint::Text() const {
  return is_unix() ? std::string(kUnixPrefix) + path : Authority();
}

std::string Endpoint::Authority() const {
  if (is_unix()) return "localhost";
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<Endpoint> ParseEndpoint(std::string_view text) {
  if (text.starts_with(kUnixPrefix)) return ParseUnix(text.substr(kUnixPrefix.size()));
  const Status wrong =
      Usage("'" + std::string(text) + "' is not the address of a server", kEndpointHint);
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || !IsVisibleAscii(text)) return wrong;
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  // Without brackets, which colon of an IPv6 address begins the port is anybody's guess.
  if (bracketed != (host.find(':') != std::string_view::npos)) return wrong;
  if (host.empty() || host.size() > kHostBytesMax ||
      host.find_first_of("[]/@?#") != std::string_view::npos)
    return wrong;
  Endpoint endpoint;
  endpoint.host = host;
  const auto parsed = std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
  if (parsed.ec != std::errc() || parsed.ptr != port.data() + port.size() || endpoint.port == 0)
    return wrong;
  return endpoint;
}

bool UsesTls(const RpcClientOptions& options, const Endpoint& endpoint) {
  if (options.tls.use != TlsUse::kDefault) return options.tls.use == TlsUse::kOn;
  const ClientTlsOptions& tls = options.tls;
  const bool asked =
      !tls.ca_file.empty() || !tls.server_name.empty() || !tls.certificate_file.empty();
  return asked || !endpoint.is_local();
}

Status ValidateOptions(const RpcClientOptions& options) {
  TM_ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(options.endpoint));
  const ClientTlsOptions& tls = options.tls;
  if (tls.certificate_file.empty() != tls.key_file.empty())
    return Usage("a client certificate and its key go together", "give both files, or neither");
  if (tls.use == TlsUse::kOff &&
      !(tls.ca_file.empty() && tls.server_name.empty() && tls.certificate_file.empty()))
    return Usage("options of TLS are given, and plain text is asked for", "keep one of the two");
  if (!options.token.file.empty() && !options.token.environment_variable.empty())
    return Usage("the token is to come from a file and from an environment variable",
                 "keep one of the two");
  if (endpoint.is_unix() && UsesTls(options, endpoint) && tls.server_name.empty())
    return Usage("TLS over a unix socket needs the name that the server's certificate is for");
  if (options.connect_timeout.count() <= 0 || options.default_deadline.count() <= 0)
    return Usage("a time limit of 0 means forever");
  if (options.message_bytes_max == 0) return Usage("a message limit of 0 lets nothing through");
  if (options.retry.attempts_max == 0) return Usage("0 attempts are none");
  return OkStatus();
}

Result<std::string> ReadToken(const TokenSource& source) {
  std::string token;
  std::string where;
  if (!source.file.empty()) {
    TM_ASSIGN_OR_RETURN(token, ReadSecretLine("token file", source.file));
    where = "the first line of token file " + source.file;
  } else if (!source.environment_variable.empty()) {
    where = "environment variable " + source.environment_variable;
    const char* value = std::getenv(source.environment_variable.c_str());
    if (value != nullptr) token = value;
  } else {
    return token;
  }
  if (token.empty()) return Usage(where + ", which should hold the token, is empty");
  if (!IsVisibleAscii(token))
    return Usage(where + " is not a token: it has spaces or other characters that no token has");
  return token;
}

}  // namespace tidemark::rpc
