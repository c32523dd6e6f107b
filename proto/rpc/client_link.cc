#include "proto/rpc/client_link.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "proto/rpc/client_resolver.h"

namespace tidemark::rpc {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using Outcome = ClientLink::Outcome;
using Socket = asio::generic::stream_protocol::socket;
using TlsStream = asio::ssl::stream<Socket&>;

constexpr milliseconds kAskEvery{100};
constexpr size_t kReadBytes = 128 << 10;
constexpr int kKeepAliveIdleSeconds = 30;
constexpr int kKeepAliveEverySeconds = 10;
constexpr int kKeepAliveProbes = 3;

void SetUp(Socket& socket) {
  const int fd = socket.native_handle();
  const auto set = [fd](int level, int name, int value) {
    (void)setsockopt(fd, level, name, &value, sizeof(value));  // a unix socket has none of these
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, kKeepAliveIdleSeconds);
  set(IPPROTO_TCP, TCP_KEEPINTVL, kKeepAliveEverySeconds);
  set(IPPROTO_TCP, TCP_KEEPCNT, kKeepAliveProbes);
}

bool IsInterrupted(const Patience& patience) {
  return patience.interrupted && patience.interrupted();
}

}  // namespace

struct ClientLink::State {
  asio::io_context io{1};
  Socket socket{io};
  std::optional<TlsStream> tls;
  std::string where;
  std::string server_name;

  // Begins one operation and waits for it; its handler is called with (error, ...).
  template <typename Begin>
  Outcome Await(const Patience& patience, error_code* error, Begin begin) {
    std::optional<error_code> ended;
    begin([&ended](const error_code& code, auto...) { ended = code; });
    Outcome outcome = Outcome::kDone;
    while (!ended) {
      const auto now = steady_clock::now();
      if (IsInterrupted(patience)) {
        outcome = Outcome::kInterrupted;
      } else if (now >= patience.until) {
        outcome = Outcome::kTimedOut;
      }
      if (outcome != Outcome::kDone) break;
      io.restart();
      io.run_one_until(std::min(patience.until, now + kAskEvery));
    }
    if (!ended) Abandon();
    *error = ended.value_or(error_code());
    if (outcome != Outcome::kDone) return outcome;
    return *error ? Outcome::kBroken : Outcome::kDone;
  }

  // What is under way ends at once, and its handler with it.
  void Abandon() {
    error_code ignored;
    socket.close(ignored);
    io.restart();
    io.run();
  }

  Status Explain(const error_code& error) {
    if (error.category() == asio::error::get_ssl_category())
      return ExplainTlsFailure(tls->native_handle(), error, server_name, where);
    return Status(Code::kSourceUnavailable,
                  "the connection to " + where + " broke: " + error.message());
  }

  Status ConnectAny(const std::vector<SocketAddress>& addresses, const Patience& patience);
  Status SecureWith(const std::shared_ptr<TlsContext>& context, const Patience& patience);
};

// One after the other, each with its share of the time, so that one that swallows packets does not
// hide the next.
Status ClientLink::State::ConnectAny(const std::vector<SocketAddress>& addresses,
                                     const Patience& patience) {
  std::string why;
  for (size_t i = 0; i < addresses.size(); ++i) {
    const auto now = steady_clock::now();
    Patience share = patience;
    if (patience.until != steady_clock::time_point::max() && patience.until > now)
      share.until = now + (patience.until - now) / static_cast<int>(addresses.size() - i);
    error_code error;
    socket.close(error);
    const Outcome outcome = Await(share, &error, [&](auto handler) {
      socket.async_connect(addresses[i], std::move(handler));
    });
    if (outcome == Outcome::kDone) {
      SetUp(socket);
      return OkStatus();
    }
    if (outcome == Outcome::kInterrupted)
      return Status(Code::kInterrupted, "interrupted while connecting to " + where);
    why = outcome == Outcome::kTimedOut ? "no answer in time" : error.message();
  }
  return Status(Code::kSourceUnavailable, "cannot connect to " + where + ": " + why,
                "does tidemarkd run there, with RPC on that address, and does no firewall stand "
                "in between?");
}

Status ClientLink::State::SecureWith(const std::shared_ptr<TlsContext>& context,
                                     const Patience& patience) {
  tls.emplace(socket, *context);
  TM_RETURN_IF_ERROR(ExpectServer(tls->native_handle(), server_name));
  error_code error;
  switch (Await(patience, &error, [&](auto handler) {
    tls->async_handshake(asio::ssl::stream_base::client, std::move(handler));
  })) {
    case Outcome::kDone: return OkStatus();
    case Outcome::kInterrupted:
      return Status(Code::kInterrupted, "interrupted while connecting to " + where);
    case Outcome::kTimedOut:
      return Status(Code::kSourceUnavailable, where + " accepts connections, but not TLS, in time",
                    "is it the server's RPC port, and does it speak TLS?");
    default: return ExplainTlsFailure(tls->native_handle(), error, server_name, where);
  }
}

ClientLink::ClientLink(std::unique_ptr<State> state) : state_(std::move(state)) {}

ClientLink::~ClientLink() {
  if (!state_) return;
  error_code ignored;
  state_->socket.close(ignored);
}

Result<std::unique_ptr<ClientLink>> ClientLink::Open(const Endpoint& endpoint,
                                                     const std::shared_ptr<TlsContext>& tls,
                                                     const std::string& server_name,
                                                     const Patience& patience) {
  auto state = std::make_unique<State>();
  state->where = endpoint.Text();
  state->server_name = server_name;
  TM_ASSIGN_OR_RETURN(const auto addresses, Resolve(endpoint, patience));
  TM_RETURN_IF_ERROR(state->ConnectAny(addresses, patience));
  if (tls) TM_RETURN_IF_ERROR(state->SecureWith(tls, patience));
  return std::unique_ptr<ClientLink>(new ClientLink(std::move(state)));
}

Outcome ClientLink::Write(std::string_view bytes, const Patience& patience) {
  error_code error;
  const auto buffer = asio::const_buffer(bytes.data(), bytes.size());
  const Outcome outcome = state_->Await(patience, &error, [&](auto handler) {
    if (state_->tls) {
      asio::async_write(*state_->tls, buffer, std::move(handler));
    } else {
      asio::async_write(state_->socket, buffer, std::move(handler));
    }
  });
  if (outcome == Outcome::kBroken) broken_ = state_->Explain(error);
  return outcome;
}

Outcome ClientLink::Read(std::string* bytes, const Patience& patience) {
  const size_t before = bytes->size();
  bytes->resize(before + kReadBytes);
  const auto buffer = asio::buffer(bytes->data() + before, kReadBytes);
  size_t got = 0;
  error_code error;
  Outcome outcome = state_->Await(patience, &error, [&](auto handler) {
    auto counting = [&got, handler = std::move(handler)](const error_code& code, size_t size) {
      got = size;
      handler(code);
    };
    if (state_->tls) {
      state_->tls->async_read_some(buffer, std::move(counting));
    } else {
      state_->socket.async_read_some(buffer, std::move(counting));
    }
  });
  bytes->resize(before + got);
  if (outcome != Outcome::kBroken) return outcome;
  if (error == asio::error::eof) return Outcome::kEnd;
  broken_ = state_->Explain(error);
  return outcome;
}

bool ClientLink::IsQuiet() {
  if (state_->tls && SSL_pending(state_->tls->native_handle()) > 0) return false;
  char byte = 0;
  const ssize_t got =
      recv(state_->socket.native_handle(), &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT);
  return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

Outcome Pause(milliseconds time, const Patience& patience) {
  const auto end = steady_clock::now() + time;
  for (;;) {
    const auto now = steady_clock::now();
    if (IsInterrupted(patience)) return Outcome::kInterrupted;
    if (now >= end) return Outcome::kDone;
    if (now >= patience.until) return Outcome::kTimedOut;
    std::this_thread::sleep_until(std::min({end, patience.until, now + kAskEvery}));
  }
}

}  // namespace tidemark::rpc
