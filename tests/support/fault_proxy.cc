#include "tests/support/fault_proxy.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace tidemark::testing {
namespace {

constexpr size_t kReadBytes = 64 * 1024;
constexpr size_t kQueuedBytesMax = 1024 * 1024;  // each way of a link; then it is not read from
constexpr int kTurnMs = 5;                       // while something waits for its time

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

size_t Index(FaultProxy::Way way) { return static_cast<size_t>(way); }

// Bound to a port that was named, so that the port stays ours while the socket does not listen.
Result<std::pair<int, int>> Listen() {
  const auto failed = [] {
    return Status(Code::kIo, std::string("cannot listen for the proxy: ") + std::strerror(errno));
  };
  int port = 0;
  int descriptor = -1;
  for (int turn = 0; turn < 2; ++turn) {
    if (descriptor >= 0) ::close(descriptor);
    descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int on = 1;
    ::setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address = Loopback(port);
    socklen_t size = sizeof address;
    if (::bind(descriptor, reinterpret_cast<sockaddr*>(&address), size) != 0) return failed();
    if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size) != 0)
      return failed();
    port = ntohs(address.sin_port);
  }
  if (::listen(descriptor, SOMAXCONN) != 0) return failed();
  return std::pair(descriptor, port);
}

}  // namespace

Result<std::unique_ptr<FaultProxy>> FaultProxy::Start(int server_port) {
  TM_ASSIGN_OR_RETURN(const auto listening, Listen());
  const int wake = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  TM_CHECK(wake >= 0);
  std::unique_ptr<FaultProxy> proxy(
      new FaultProxy(server_port, listening.first, listening.second, wake));
  proxy->thread_ = std::thread([self = proxy.get()] { self->Run(); });
  return proxy;
}

FaultProxy::FaultProxy(int server_port, int listener, int port, int wake)
    : server_port_(server_port), listener_(listener), port_(port), wake_(wake) {}

FaultProxy::~FaultProxy() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  Wake();
  thread_.join();
  for (Link& link : links_) Drop(link, CutBy::kReset);
  ::close(listener_);
  ::close(wake_);
}

void FaultProxy::Wake() const {
  const uint64_t one = 1;
  (void)!::write(wake_, &one, sizeof one);
}

uint64_t FaultProxy::accepted() const {
  std::lock_guard lock(mutex_);
  return accepted_;
}

size_t FaultProxy::open_links() const {
  std::lock_guard lock(mutex_);
  return links_.size();
}

uint64_t FaultProxy::forwarded_bytes(Way way) const {
  std::lock_guard lock(mutex_);
  return taken_[Index(way)];
}

uint64_t FaultProxy::harmed_bytes(Way way) const {
  std::lock_guard lock(mutex_);
  return harmed_[Index(way)];
}

uint64_t FaultProxy::harmed_bytes() const {
  return harmed_bytes(Way::kToServer) + harmed_bytes(Way::kToClient);
}

void FaultProxy::Cut(CutBy by) {
  {
    std::lock_guard lock(mutex_);
    for (Link& link : links_) Drop(link, by);
  }
  Wake();
}

void FaultProxy::PutOrder(Way way, uint64_t offset, Order order) {
  std::lock_guard lock(mutex_);
  order.at = taken_[Index(way)] + offset;
  std::vector<Order>& orders = orders_[Index(way)];
  orders.insert(std::upper_bound(orders.begin(), orders.end(), order.at,
                                 [](uint64_t at, const Order& other) { return at < other.at; }),
                order);
}

void FaultProxy::CutAfter(Way way, uint64_t bytes, CutBy by) {
  PutOrder(way, bytes, {.cut = true, .by = by});
}

void FaultProxy::Damage(Way way, uint64_t offset, Harm harm, uint8_t flip_mask) {
  PutOrder(way, offset, {.harm = harm, .flip_mask = flip_mask});
}

void FaultProxy::Stall(bool on) {
  {
    std::lock_guard lock(mutex_);
    stalled_ = on;
  }
  Wake();
}

// A listening socket that is shut down answers with RST and keeps its port.
void FaultProxy::Refuse(bool on) {
  {
    std::lock_guard lock(mutex_);
    if (refusing_ == on) return;
    refusing_ = on;
    if (on)
      ::shutdown(listener_, SHUT_RD);
    else
      TM_CHECK(::listen(listener_, SOMAXCONN) == 0);
  }
  Wake();
}

void FaultProxy::Delay(int milliseconds) {
  std::lock_guard lock(mutex_);
  delay_ = std::chrono::milliseconds(milliseconds);
}

void FaultProxy::Throttle(uint64_t bytes_per_second) {
  std::lock_guard lock(mutex_);
  bytes_per_second_ = bytes_per_second;
}

void FaultProxy::Heal() {
  Refuse(false);
  {
    std::lock_guard lock(mutex_);
    stalled_ = false;
    delay_ = std::chrono::milliseconds(0);
    bytes_per_second_ = 0;
    for (std::vector<Order>& orders : orders_) orders.clear();
  }
  Wake();
}

void FaultProxy::Drop(Link& link, CutBy by) {
  const linger reset{1, 0};
  for (const int descriptor : {link.client, link.server}) {
    if (descriptor < 0) continue;
    if (by == CutBy::kReset) ::setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    ::close(descriptor);
  }
  link.client = link.server = -1;
}

void FaultProxy::Accept() {
  while (true) {
    const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client < 0) return;
    ++accepted_;
    const int on = 1;
    ::setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    links_.emplace_back().client = client;
  }
}

// To a server on this machine, so it does not take long.
bool FaultProxy::ConnectServer(Link& link) const {
  const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(server_port_);
  if (::connect(server, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    ::close(server);
    return false;
  }
  const int on = 1;
  ::setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::fcntl(server, F_SETFL, ::fcntl(server, F_GETFL) | O_NONBLOCK);
  link.server = server;
  return true;
}

// Carries out what is ordered for these bytes; false if the link was cut.
bool FaultProxy::Take(Link& link, Way way, std::vector<uint8_t> bytes) {
  std::vector<Order>& orders = orders_[Index(way)];
  const uint64_t begin = taken_[Index(way)];
  taken_[Index(way)] += bytes.size();
  size_t done = 0;
  int64_t moved = 0;  // by bytes dropped and doubled before
  bool cut = false;
  CutBy by = CutBy::kReset;
  for (; done < orders.size() && orders[done].at < taken_[Index(way)] && !cut; ++done) {
    const Order& order = orders[done];
    const auto at =
        bytes.begin() + std::max<int64_t>(static_cast<int64_t>(order.at - begin) + moved, 0);
    if (order.cut) {
      cut = true;
      by = order.by;
      bytes.erase(at, bytes.end());
      continue;
    }
    if (at == bytes.end()) continue;
    ++harmed_[Index(way)];
    if (order.harm == Harm::kFlip) *at ^= order.flip_mask;
    if (order.harm == Harm::kDrop) bytes.erase(at), --moved;
    if (order.harm == Harm::kDuplicate) bytes.insert(at, *at), ++moved;
  }
  orders.erase(orders.begin(), orders.begin() + static_cast<ptrdiff_t>(done));
  Stream& stream = link.streams[Index(way)];
  stream.queued_bytes += bytes.size();
  if (!bytes.empty()) stream.chunks.push_back({std::move(bytes), 0, Clock::now() + delay_});
  if (!cut) return true;
  Write(link, way, Clock::now());  // what stands in front of the cut, as far as it goes
  Drop(link, by);
  return false;
}

void FaultProxy::Read(Link& link, Way way) {
  const int from = way == Way::kToServer ? link.client : link.server;
  Stream& stream = link.streams[Index(way)];
  std::vector<uint8_t> buffer(kReadBytes);
  const ssize_t got = ::read(from, buffer.data(), buffer.size());
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got < 0) return Drop(link, CutBy::kReset);
  if (got == 0) {
    stream.ended = true;
    return;
  }
  buffer.resize(static_cast<size_t>(got));
  (void)Take(link, way, std::move(buffer));
}

// How many bytes may go now, by the throttle; short bursts are a tenth of a second's worth.
size_t FaultProxy::Allowance(Stream& stream, Clock::time_point now) const {
  if (bytes_per_second_ == 0) return SIZE_MAX;
  const double rate = static_cast<double>(bytes_per_second_);
  const double seconds = std::chrono::duration<double>(now - stream.allowance_at).count();
  stream.allowance = std::min(stream.allowance + seconds * rate, std::max(rate / 10, 1.0));
  stream.allowance_at = now;
  return static_cast<size_t>(stream.allowance);
}

void FaultProxy::Write(Link& link, Way way, Clock::time_point now) {
  const int to = way == Way::kToServer ? link.server : link.client;
  Stream& stream = link.streams[Index(way)];
  while (!stream.chunks.empty() && stream.chunks.front().due <= now) {
    Chunk& chunk = stream.chunks.front();
    const size_t wanted = std::min(chunk.bytes.size() - chunk.sent, Allowance(stream, now));
    if (wanted == 0) return;
    const ssize_t put = ::send(to, chunk.bytes.data() + chunk.sent, wanted, MSG_NOSIGNAL);
    if (put < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (put < 0) return Drop(link, CutBy::kReset);
    chunk.sent += static_cast<size_t>(put);
    stream.queued_bytes -= static_cast<size_t>(put);
    stream.allowance -= static_cast<double>(put);
    if (chunk.sent == chunk.bytes.size()) stream.chunks.pop_front();
  }
  if (stream.ended && !stream.closed && stream.chunks.empty()) {
    ::shutdown(to, SHUT_WR);
    stream.closed = true;
  }
}

// One link's turn. What its ends are ready for is found out by trying: descriptors do not block.
void FaultProxy::Serve(Link& link, Clock::time_point now) {
  if (link.server < 0 && !ConnectServer(link)) return Drop(link, CutBy::kReset);
  for (const Way way : {Way::kToServer, Way::kToClient}) {
    const Stream& stream = link.streams[Index(way)];
    if (link.client >= 0 && !stream.ended && stream.queued_bytes < kQueuedBytesMax) Read(link, way);
    if (link.client >= 0) Write(link, way, now);
  }
  if (link.client >= 0 && link.streams[0].closed && link.streams[1].closed) Drop(link, CutBy::kEnd);
}

// What poll shall wait for, and how long.
int FaultProxy::Gather(std::vector<pollfd>* polled) const {
  const auto now = Clock::now();
  bool soon = false;
  polled->push_back({wake_, POLLIN, 0});
  if (!refusing_) polled->push_back({listener_, POLLIN, 0});
  if (stalled_) return -1;
  for (const Link& link : links_) {
    if (link.server < 0) soon = true;
    short client = 0;
    short server = 0;
    for (const Way way : {Way::kToServer, Way::kToClient}) {
      const Stream& stream = link.streams[Index(way)];
      short& from = way == Way::kToServer ? client : server;
      short& to = way == Way::kToServer ? server : client;
      if (!stream.ended && stream.queued_bytes < kQueuedBytesMax) from |= POLLIN;
      if (stream.chunks.empty()) continue;
      if (bytes_per_second_ != 0 || stream.chunks.front().due > now)
        soon = true;
      else
        to |= POLLOUT;
    }
    // An end that is asked for nothing would be reported as hung up again and again.
    if (client != 0) polled->push_back({link.client, client, 0});
    if (server != 0 && link.server >= 0) polled->push_back({link.server, server, 0});
  }
  return soon ? kTurnMs : -1;
}

void FaultProxy::Run() {
  std::vector<pollfd> polled;
  std::unique_lock lock(mutex_);
  while (!stop_) {
    polled.clear();
    const int timeout_ms = Gather(&polled);
    lock.unlock();
    (void)::poll(polled.data(), polled.size(), timeout_ms);
    uint64_t drained = 0;
    (void)!::read(wake_, &drained, sizeof drained);
    lock.lock();
    if (!refusing_) Accept();
    if (stalled_) continue;
    const auto now = Clock::now();
    for (Link& link : links_) Serve(link, now);
    links_.remove_if([](const Link& link) { return link.client < 0; });
  }
}

}  // namespace tidemark::testing
