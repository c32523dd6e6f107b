#include "proto/rpc/listen.h"

#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

namespace tidemark::rpc {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Unix = asio::local::stream_protocol;

constexpr std::string_view kUnixPrefix = "unix:";

Result<tcp::endpoint> ParseAddress(const std::string& address) {
  const Status wrong(Code::kUsage, "'" + address + "' is not an address to listen at",
                     "such as 127.0.0.1:7946, [::1]:7946 or unix:/run/tidemark/rpc.sock");
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0) return wrong;
  std::string host = address.substr(0, colon);
  const std::string digits = address.substr(colon + 1);
  uint16_t port = 0;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (digits.empty() || read.ec != std::errc() || read.ptr != digits.data() + digits.size())
    return wrong;
  const bool brackets = host.front() == '[' && host.back() == ']';
  if (brackets) host = host.substr(1, host.size() - 2);
  error_code error;
  const auto numeric = asio::ip::make_address(host, error);
  if (error || numeric.is_v6() != brackets) return wrong;
  return tcp::endpoint(numeric, port);
}

Status CannotListen(const std::string& address, const error_code& error) {
  return Status(Code::kIo, "cannot listen at " + address + ": " + error.message(),
                error == asio::error::address_in_use
                    ? "another server has the address: choose another one, or stop that server"
                    : "");
}

// A socket's file that nobody listens at is what a crash left behind.
Status RemoveStale(asio::io_context& io, const std::string& path) {
  struct stat facts = {};
  if (::lstat(path.c_str(), &facts) != 0) return OkStatus();
  if (!S_ISSOCK(facts.st_mode))
    return Status(Code::kUsage, path + " exists, and is not a socket", "name another path");
  error_code error;
  Unix::socket probe(io);
  probe.connect(Unix::endpoint(path), error);
  if (error != asio::error::connection_refused)
    return Status(Code::kLocked, "another server listens at unix:" + path);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    return Status(Code::kIo, "cannot remove " + path + ": " + std::strerror(errno));
  return OkStatus();
}

}  // namespace

Status Listener::Check(const RpcListener& wanted, bool plaintext_allowed) {
  if (wanted.address.starts_with(kUnixPrefix)) {
    const size_t path_bytes = wanted.address.size() - kUnixPrefix.size();
    if (path_bytes == 0 || path_bytes >= sizeof(sockaddr_un::sun_path))
      return Status(Code::kUsage, "'" + wanted.address + "' cannot be a unix socket's path",
                    "at most 107 characters");
    if (!wanted.tls) return OkStatus();
    return Status(Code::kUsage, "a unix socket has no TLS", "its file's mode protects it");
  }
  TM_ASSIGN_OR_RETURN(const tcp::endpoint endpoint, ParseAddress(wanted.address));
  if (wanted.tls || endpoint.address().is_loopback() || plaintext_allowed) return OkStatus();
  return Status(Code::kUsage, "listening at " + wanted.address + " without TLS is refused",
                "tokens would go over the network in plain text: configure a certificate");
}

Result<std::unique_ptr<Listener>> Listener::Open(asio::io_context& io, const RpcListener& wanted,
                                                 bool plaintext_allowed) {
  TM_RETURN_IF_ERROR(Check(wanted, plaintext_allowed));
  std::unique_ptr<Listener> listener(new Listener(io));
  listener->tls_ = wanted.tls;
  if (!wanted.address.starts_with(kUnixPrefix)) {
    TM_RETURN_IF_ERROR(listener->OpenInternet(wanted));
    return listener;
  }
  TM_RETURN_IF_ERROR(
      listener->OpenUnix(io, wanted.address.substr(kUnixPrefix.size()), wanted.unix_mode));
  return listener;
}

Status Listener::OpenInternet(const RpcListener& wanted) {
  TM_ASSIGN_OR_RETURN(const tcp::endpoint endpoint, ParseAddress(wanted.address));
  error_code error;
  acceptor_.open(Acceptor::protocol_type(endpoint.protocol()), error);
  if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error) return CannotListen(wanted.address, error);
  const auto bound = acceptor_.local_endpoint(error);
  tcp::endpoint local(endpoint.protocol(), 0);
  std::memcpy(local.data(), bound.data(), bound.size());
  address_ = wanted.address.substr(0, wanted.address.rfind(':') + 1) + std::to_string(local.port());
  return OkStatus();
}

Status Listener::OpenUnix(asio::io_context& io, const std::string& path, uint32_t mode) {
  TM_RETURN_IF_ERROR(RemoveStale(io, path));
  error_code error;
  acceptor_.open(Acceptor::protocol_type(Unix()), error);
  // Linux gives the file the socket's own mode less the umask (unix(7)): at no time more than this.
  if (!error && ::fchmod(acceptor_.native_handle(), mode) != 0)
    error.assign(errno, boost::system::system_category());
  if (!error) acceptor_.bind(Unix::endpoint(path), error);
  if (error) return CannotListen(kUnixPrefix.data() + path, error);
  path_ = path;
  struct stat facts = {};
  if (::chmod(path.c_str(), mode) != 0 || ::lstat(path.c_str(), &facts) != 0)
    return Status(Code::kIo, "cannot protect " + path + ": " + std::strerror(errno));
  device_ = facts.st_dev;
  inode_ = facts.st_ino;
  acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error) return CannotListen(kUnixPrefix.data() + path, error);
  address_ = kUnixPrefix.data() + path;
  return OkStatus();
}

Listener::~Listener() {
  struct stat facts = {};
  if (path_.empty() || ::lstat(path_.c_str(), &facts) != 0) return;
  if (facts.st_dev == device_ && facts.st_ino == inode_) ::unlink(path_.c_str());
}

}  // namespace tidemark::rpc
