#include "proto/rpc/rpc_server.h"

#include <google/protobuf/stubs/logging.h>
#include <pthread.h>
#include <spdlog/spdlog.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <mutex>
#include <thread>
#include <utility>

#include "proto/rpc/connection.h"
#include "proto/rpc/http_answer.h"
#include "proto/rpc/listen.h"
#include "proto/rpc/server_state.h"

namespace tidemark::rpc {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::chrono::milliseconds kAcceptAgain{100};  // after an error, such as no descriptors
constexpr size_t kHeaderBytesMax = 64 << 10;            // HttpRequest's
constexpr size_t kMessageBytesMax = 1 << 30;

// Whatever the socket takes at once; nobody waits for this client.
void TurnAway(HttpLink::Socket socket, bool tls) {
  error_code ignored;
  const RpcError busy{RpcCode::kUnavailable, "too many connections", {}};
  const std::string answer = AnswerBytes(ErrorAnswer(busy), /*keep_alive=*/false);
  socket.non_blocking(true, ignored);
  if (!tls) socket.write_some(asio::buffer(answer), ignored);
  socket.shutdown(asio::socket_base::shutdown_send, ignored);
}

Status CheckOptions(const RpcServerOptions& options) {
  const RpcLimits& limits = options.limits;
  if (options.listeners.empty()) return Status(Code::kUsage, "there is no address to listen at");
  if (limits.header_bytes_max < 256 || limits.header_bytes_max > kHeaderBytesMax)
    return Status(Code::kUsage, "header_bytes_max must be 256 to 65536");
  if (limits.message_bytes_max > kMessageBytesMax)
    return Status(Code::kUsage, "message_bytes_max must be at most 1 GiB");
  if (options.call_threads == 0 || options.stream_threads == 0)
    return Status(Code::kUsage, "calls and streams need a thread each");
  for (const RpcListener& listener : options.listeners) {
    if (listener.tls && !options.tls)
      return Status(Code::kUsage, "listening at " + listener.address + " needs a certificate");
    TM_RETURN_IF_ERROR(Listener::Check(listener, options.plaintext_allowed));
  }
  return OkStatus();
}

// Protobuf writes what it cannot read to stderr: a client could fill a disk with that.
void QuietProtobuf() {
  static std::once_flag once;
  std::call_once(once, [] {
    google::protobuf::SetLogHandler(
        [](google::protobuf::LogLevel, const char*, int, const std::string& message) {
          spdlog::debug("protobuf: {}", message);
        });
  });
}

}  // namespace

Status CheckServerOptions(const RpcServerOptions& options) {
  TM_RETURN_IF_ERROR(CheckOptions(options));
  if (!options.tls) return OkStatus();
  TM_ASSIGN_OR_RETURN([[maybe_unused]] const auto tls, ServerTls::Load(*options.tls));
  return OkStatus();
}

struct RpcServer::Impl {
  Impl(ServiceRegistry registry, RpcServerOptions options)
      : state(std::move(registry), std::move(options)) {}

  Status Listen();
  void Run();
  asio::awaitable<void> Accept(Listener& listener);
  void Admit(HttpLink::Socket socket, bool tls);
  void BeginStop();
  void WakeStreams();

  ServerState state;
  std::vector<std::unique_ptr<Listener>> listeners;
  std::vector<std::string> addresses;
  std::thread io_thread;
};

Status RpcServer::Impl::Listen() {
  for (const RpcListener& wanted : state.options.listeners) {
    TM_ASSIGN_OR_RETURN(std::unique_ptr<Listener> listener,
                        Listener::Open(state.io, wanted, state.options.plaintext_allowed));
    addresses.push_back(listener->address());
    listeners.push_back(std::move(listener));
  }
  return OkStatus();
}

void RpcServer::Impl::Run() {
  pthread_setname_np(pthread_self(), "tm-rpc");
  for (const auto& listener : listeners) {
    asio::co_spawn(state.io, Accept(*listener), asio::detached);
  }
  for (;;) {
    try {
      state.io.run();  // until the listeners, every client and every handler have ended
      return;
    } catch (const std::exception& error) {  // exhausted memory, in a handler of Asio's
      spdlog::error("RPC server: {}", error.what());
    }
  }
}

asio::awaitable<void> RpcServer::Impl::Accept(Listener& listener) {
  asio::steady_timer pause(state.io);
  while (!state.stopping) {
    error_code error;
    HttpLink::Socket socket =
        co_await listener.acceptor().async_accept(asio::redirect_error(asio::use_awaitable, error));
    if (state.stopping) co_return;
    if (!error) {
      Admit(std::move(socket), listener.tls());
    } else if (error != asio::error::connection_aborted) {
      spdlog::warn("cannot accept a connection: {}", error.message());
      pause.expires_after(kAcceptAgain);
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
    }
  }
}

void RpcServer::Impl::Admit(HttpLink::Socket socket, bool tls) {
  const RpcLimits& limits = state.options.limits;
  const bool full =
      state.links.size() >= limits.connections_max || state.strangers >= limits.strangers_max;
  {
    std::lock_guard lock(state.mutex);
    ++(full ? state.counters.connections_refused : state.counters.connections_accepted);
  }
  if (full) {
    spdlog::warn("a connection turned away: {} are open, {} of them of strangers",
                 state.links.size(), state.strangers);
    return TurnAway(std::move(socket), tls);
  }
  try {
    auto admission = std::make_unique<Admission>(state, std::move(socket), tls);
    asio::co_spawn(state.io, ServeClient(std::move(admission)), asio::detached);
  } catch (const std::exception& error) {
    spdlog::error("cannot serve a connection: {}", error.what());
  }
}

void RpcServer::Impl::BeginStop() {
  const Status stops(Code::kInterrupted, "the server stops");
  state.stopping = true;
  error_code ignored;
  for (const auto& listener : listeners) listener->acceptor().close(ignored);
  for (HttpLink* link : state.links) link->busy() ? link->Cancel() : link->Close(stops);
  if (state.links.empty()) return;
  state.stop_timer.expires_after(state.options.limits.stop_max);
  state.stop_timer.async_wait([this, stops](const error_code&) {
    for (HttpLink* link : state.links) link->Close(stops);
  });
}

void RpcServer::Impl::WakeStreams() {
  for (HttpLink* link : state.links) link->Wake();
}

RpcServer::RpcServer(ServiceRegistry registry, RpcServerOptions options)
    : impl_(std::make_unique<Impl>(std::move(registry), std::move(options))) {
  if (!impl_->state.options.access)
    impl_->state.options.access = std::make_shared<const AccessList>();
}

RpcServer::~RpcServer() { Stop(); }

void RpcServer::AddPage(std::string path, Role role, Page page) {
  TM_CHECK(!impl_->io_thread.joinable() && path.starts_with('/'));
  const bool added =
      impl_->state.pages.try_emplace(std::move(path), ServerPage{role, std::move(page)}).second;
  TM_CHECK(added);
}

Status RpcServer::Start() {
  TM_CHECK(!impl_->io_thread.joinable());
  QuietProtobuf();
  ServerState& state = impl_->state;
  TM_RETURN_IF_ERROR(CheckOptions(state.options));
  if (state.options.tls) {
    TM_ASSIGN_OR_RETURN(state.tls, ServerTls::Load(*state.options.tls));
  }
  Status listening = impl_->Listen();
  if (!listening.ok()) {
    impl_->listeners.clear();
    return listening;
  }
  impl_->io_thread = std::thread([&impl = *impl_] { impl.Run(); });
  for (const std::string& address : impl_->addresses) spdlog::info("serving RPC at {}", address);
  return OkStatus();
}

std::vector<std::string> RpcServer::addresses() const { return impl_->addresses; }

void RpcServer::Stop() {
  if (!impl_->io_thread.joinable()) return;
  asio::post(impl_->state.io, [&impl = *impl_] { impl.BeginStop(); });
  impl_->io_thread.join();
  impl_->state.calls.join();
  impl_->state.streams.join();
  impl_->state.pages_pool.join();
  impl_->listeners.clear();
}

void RpcServer::AcceptCalls(bool accept) { impl_->state.accept_calls = accept; }

void RpcServer::Notify(const std::string& topic) { impl_->state.topics.Notify(topic); }

void RpcServer::SetAccess(std::shared_ptr<const AccessList> access) {
  TM_CHECK(access != nullptr);
  {
    std::lock_guard lock(impl_->state.mutex);
    impl_->state.options.access = std::move(access);
  }
  ++impl_->state.access_version;
  asio::post(impl_->state.io, [&impl = *impl_] { impl.WakeStreams(); });
}

Status RpcServer::ReloadTls() { return impl_->state.tls ? impl_->state.tls->Reload() : OkStatus(); }

RpcCounters RpcServer::Counters() const {
  const ServerState& state = impl_->state;
  std::lock_guard lock(state.mutex);
  RpcCounters counters = state.counters;
  counters.bytes_in = state.bytes.in;
  counters.bytes_out = state.bytes.out;
  counters.active_calls = state.active_calls;
  counters.active_streams = state.active_streams;
  counters.connections = state.connections;
  return counters;
}

}  // namespace tidemark::rpc
