#include "pitr/serve/replica_server.h"

#include <pthread.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <set>
#include <thread>
#include <utility>

#include "pitr/serve/connection.h"
#include "pitr/serve/server_state.h"
#include "pitr/serve/tls.h"

namespace tidemark {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr size_t kReaderThreadsMin = 4;  // of which some may be waiting for a disk
constexpr size_t kReaderThreadsMax = 16;
constexpr std::chrono::seconds kWarnAgain{1};
constexpr std::chrono::milliseconds kAcceptAgain{100};  // after an error, such as no descriptors

Status CheckOptions(const ServeOptions& options) {
  std::set<std::string> sources;
  for (const ServedSource& source : options.sources) {
    if (!sources.insert(source.name).second)
      return Status(Code::kUsage, "source " + source.name + " is served twice");
    if (!source.open_feed) return Status(Code::kUsage, "source " + source.name + " has no archive");
  }
  std::set<std::string> users;
  for (const ServeAccount& account : options.accounts) {
    const std::string name = "account '" + account.user + "'";
    if (account.user.empty()) return Status(Code::kUsage, "an account has no user name");
    if (!users.insert(account.user).second) return Status(Code::kUsage, name + " is there twice");
    if (account.secret.empty()) return Status(Code::kUsage, name + " has no password");
    if (!sources.contains(account.source))
      return Status(Code::kUsage,
                    name + " is for source '" + account.source + "', which is not served");
  }
  return OkStatus();
}

Status Listen(const ServeOptions& options, tcp::acceptor* acceptor) {
  error_code error;
  const auto address = asio::ip::make_address(options.listen_address, error);
  if (error)
    return Status(Code::kUsage, "'" + options.listen_address + "' is not a numeric address",
                  "such as 127.0.0.1, 0.0.0.0 or ::1");
  const tcp::endpoint endpoint(address, options.port);
  acceptor->open(endpoint.protocol(), error);
  if (!error) acceptor->set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor->bind(endpoint, error);
  if (!error) acceptor->listen(asio::socket_base::max_listen_connections, error);
  if (!error) return OkStatus();
  const std::string where = options.listen_address + ":" + std::to_string(options.port);
  return Status(Code::kIo, "cannot listen at " + where + ": " + error.message(),
                error == asio::error::address_in_use
                    ? "another server has the port: choose another one, or stop that server"
                    : "");
}

// Whatever the socket takes at once; nobody waits for this client.
void TurnAway(tcp::socket socket) {
  uint8_t sequence = 0;
  std::string packet;
  AppendPacket(ErrorPayload(1040, "08004", "Too many connections"), &sequence, &packet);
  error_code ignored;
  socket.non_blocking(true, ignored);
  socket.write_some(asio::buffer(packet), ignored);
  socket.shutdown(tcp::socket::shutdown_send, ignored);
}

}  // namespace

struct ReplicaServer::Impl {
  Impl(ServeOptions options, std::unique_ptr<asio::ssl::context> tls, std::unique_ptr<RsaKey> rsa)
      : state(std::move(options), std::move(tls), std::move(rsa),
              std::clamp<size_t>(std::thread::hardware_concurrency(), kReaderThreadsMin,
                                 kReaderThreadsMax)),
        acceptor(state.io) {}

  void Run();
  asio::awaitable<void> Accept();
  void Admit(tcp::socket socket);
  void WarnOfCrowd();
  void CloseAll();

  ServerState state;
  tcp::acceptor acceptor;
  uint16_t port = 0;
  uint64_t turned_away = 0;  // since the last warning
  std::chrono::steady_clock::time_point next_warning;
  std::thread io_thread;
};

void ReplicaServer::Impl::Run() {
  pthread_setname_np(pthread_self(), "tm-serve");
  asio::co_spawn(state.io, Accept(), asio::detached);
  state.io.run();  // until Accept and every client's coroutine have ended
}

asio::awaitable<void> ReplicaServer::Impl::Accept() {
  asio::steady_timer pause(state.io);
  while (!state.stopping) {
    error_code error;
    tcp::socket socket =
        co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
    if (state.stopping) co_return;
    if (!error) {
      Admit(std::move(socket));
    } else if (error != asio::error::connection_aborted) {
      spdlog::warn("cannot accept a connection: {}", error.message());
      pause.expires_after(kAcceptAgain);
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
    }
  }
}

void ReplicaServer::Impl::Admit(tcp::socket socket) {
  const ServeLimits& limits = state.options.limits;
  if (state.links.size() >= limits.connections_max) {
    WarnOfCrowd();
    ++state.connections_refused;
    return TurnAway(std::move(socket));
  }
  // The oldest makes room, or who holds connections open without a word would shut everybody out.
  if (state.pending_logins.size() >= limits.pending_logins_max) {
    WarnOfCrowd();
    PacketLink* oldest = state.pending_logins.front();
    state.pending_logins.pop_front();
    oldest->Close(Status(Code::kEndOfData, "too slow a login while too many wait"));
  }
  try {
    auto admission = std::make_unique<Admission>(state, std::move(socket));
    asio::co_spawn(state.io, ServeClient(std::move(admission)), asio::detached);
  } catch (const std::exception& error) {
    spdlog::error("cannot serve a connection: {}", error.what());
  }
}

// Crowds come by the thousand: one line a second tells.
void ReplicaServer::Impl::WarnOfCrowd() {
  ++turned_away;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_warning) return;
  spdlog::warn("{} connections turned away: {} are open, {} of them not logged in",
               std::exchange(turned_away, 0), state.links.size(), state.pending_logins.size());
  next_warning = now + kWarnAgain;
}

void ReplicaServer::Impl::CloseAll() {
  state.stopping = true;
  error_code ignored;
  acceptor.close(ignored);
  for (PacketLink* link : state.links) {
    link->Close(Status(Code::kInterrupted, "the server stops"));
  }
}

ReplicaServer::ReplicaServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ReplicaServer::~ReplicaServer() { Stop(); }

Result<std::unique_ptr<ReplicaServer>> ReplicaServer::Start(ServeOptions options) {
  TM_RETURN_IF_ERROR(CheckOptions(options));
  TM_ASSIGN_OR_RETURN(auto tls, MakeServerTls(options.tls_certificate_file, options.tls_key_file));
  auto rsa = std::make_unique<RsaKey>();
  if (!options.rsa_private_key_file.empty()) {
    TM_ASSIGN_OR_RETURN(rsa, RsaKey::Load(options.rsa_private_key_file));
  }
  auto impl = std::make_unique<Impl>(std::move(options), std::move(tls), std::move(rsa));
  TM_RETURN_IF_ERROR(Listen(impl->state.options, &impl->acceptor));
  impl->port = impl->acceptor.local_endpoint().port();
  impl->io_thread = std::thread([&served = *impl] { served.Run(); });
  spdlog::info("serving replicas at {}:{}", impl->state.options.listen_address, impl->port);
  return std::unique_ptr<ReplicaServer>(new ReplicaServer(std::move(impl)));
}

void ReplicaServer::Stop() {
  if (!impl_->io_thread.joinable()) return;
  asio::post(impl_->state.io, [&impl = *impl_] { impl.CloseAll(); });
  impl_->io_thread.join();
  impl_->state.readers.join();
  impl_->state.logins.join();
}

uint16_t ReplicaServer::port() const { return impl_->port; }
const std::string& ReplicaServer::address() const { return impl_->state.options.listen_address; }
void ReplicaServer::NotifyDurable(const std::string& source) { impl_->state.dumps.Notify(source); }
std::vector<ServedReplica> ReplicaServer::Replicas() const { return impl_->state.dumps.Snapshot(); }

ServeCounters ReplicaServer::Counters() const {
  ServeCounters counters;
  counters.sources = impl_->state.dumps.Totals();
  counters.logins_refused = impl_->state.logins_refused;
  counters.connections_refused = impl_->state.connections_refused;
  return counters;
}

Status ReplicaServer::LastDumpError() const {
  std::lock_guard lock(impl_->state.mutex);
  return impl_->state.last_error;
}

}  // namespace tidemark
