// What tools/bench rpc asks a tidemarkd with. Prints one line of numbers; exits with 1 if anything
// was not answered as it should be.
//
//   rpc_load unary HOST:PORT proto|json CONNECTIONS SECONDS [CALLS_PER_SECOND]
//     GetStatus again and again: calls per second, and milliseconds at the median, the 99th
//     percentile and the worst. Without a rate, every connection asks again when it was answered;
//     with one, calls are due at even intervals, and their time counts from when they were due.
//     Speaks HTTP by itself, out of one thread: RpcClient blocks, and 64 threads of it on the other
//     core would be measured, too.
//   rpc_load read HOST:PORT identity|zstd
//     StreamEvents of everything there is, by RpcClient: bytes.
//   rpc_load idle HOST:PORT STREAMS DAEMON_PID
//     That many streams (RpcClient) that wait for what is yet to come: resident KiB of the daemon
//     before, with all open, and once they have nothing left to give up.
//
// RPC_LOAD_TOKEN_FILE: the file with the token. RPC_LOAD_CA_FILE: TLS, with that authority.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <thread>
#include <vector>

#include "proto/rpc/rpc_client.h"
#include "tidemark/v1/archive_service.pb.h"
#include "tidemark/v1/stream_service.pb.h"

namespace {

using namespace tidemark;  // NOLINT: a program
using std::chrono::steady_clock;
using Time = steady_clock::time_point;

constexpr std::chrono::seconds kWarmUp{1};
constexpr std::chrono::milliseconds kIdleLook{500};
constexpr int kIdleLooks = 50;  // RpcLimits::tick is 10 s; they come to rest at the second

[[noreturn]] void Fail(const std::string& why) {
  std::fprintf(stderr, "rpc_load: %s\n", why.c_str());
  std::exit(1);
}

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// One connection with at most one call under way.
struct Connection {
  int socket = -1;
  bool busy = false;
  Time due;
  std::string answer;  // as far as it has come
};

class UnaryLoad {
 public:
  UnaryLoad(const std::string& endpoint, bool json, size_t connections, double rate)
      : interval_(rate > 0 ? std::chrono::nanoseconds(static_cast<int64_t>(1e9 / rate))
                           : std::chrono::nanoseconds(0)) {
    const auto parsed = rpc::ParseEndpoint(endpoint);
    const auto token = rpc::ReadToken({Environment("RPC_LOAD_TOKEN_FILE"), ""});
    if (!parsed.ok() || !token.ok()) Fail("a numeric HOST:PORT and RPC_LOAD_TOKEN_FILE are needed");
    const std::string body = json ? "{}" : "";
    request_ = "POST /tidemark.v1.ArchiveService/GetStatus HTTP/1.1\r\nHost: " + endpoint +
               "\r\nContent-Type: application/" + (json ? "json" : "proto") +
               "\r\nConnect-Protocol-Version: 1\r\nAuthorization: Bearer " + *token +
               "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    for (size_t i = 0; i < connections; ++i) Connect(parsed->port);
  }
  void Run(std::chrono::seconds seconds);

 private:
  void Connect(uint16_t port);
  void Ask(Connection& connection, Time due);
  void OnInput(Connection& connection);
  static bool Whole(const std::string& answer);

  const std::chrono::nanoseconds interval_;  // 0: as fast as they are answered
  const int epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  std::string request_;
  std::deque<Connection> connections_;
  std::deque<Connection*>
      idle_;  // each in its turn: one that is never used is closed as a stranger
  Time counted_from_;
  std::vector<double> taken_ms_;
};

void UnaryLoad::Connect(uint16_t port) {
  Connection& made = connections_.emplace_back();
  made.socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(made.socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    Fail("cannot connect to port " + std::to_string(port));
  const int one = 1;
  ::setsockopt(made.socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = &made;
  ::epoll_ctl(epoll_, EPOLL_CTL_ADD, made.socket, &event);
  idle_.push_back(&made);
}

void UnaryLoad::Ask(Connection& connection, Time due) {
  connection.busy = true;
  connection.due = due;
  connection.answer.clear();
  if (::send(connection.socket, request_.data(), request_.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request_.size()))
    Fail("a request could not be sent whole");
}

bool UnaryLoad::Whole(const std::string& answer) {
  const size_t head = answer.find("\r\n\r\n");
  if (head == std::string::npos) return false;
  const size_t length = answer.find("Content-Length: ");
  if (!answer.starts_with("HTTP/1.1 200 ") || length > head)
    Fail("answered " + answer.substr(0, answer.find('\r')));
  return answer.size() >= head + 4 + std::strtoul(answer.c_str() + length + 16, nullptr, 10);
}

void UnaryLoad::OnInput(Connection& connection) {
  char bytes[16 << 10];
  const ssize_t size = ::recv(connection.socket, bytes, sizeof bytes, 0);
  if (size <= 0) Fail("a connection was closed");
  connection.answer.append(bytes, static_cast<size_t>(size));
  if (!connection.busy || !Whole(connection.answer)) return;
  const Time now = steady_clock::now();
  if (connection.due >= counted_from_)
    taken_ms_.push_back(std::chrono::duration<double, std::milli>(now - connection.due).count());
  connection.busy = false;
  idle_.push_back(&connection);
}

void UnaryLoad::Run(std::chrono::seconds seconds) {
  const bool paced = interval_.count() > 0;
  Time due = steady_clock::now();
  counted_from_ = due + kWarmUp;
  const Time until = counted_from_ + seconds;
  Time now = due;
  for (; now < until; now = steady_clock::now()) {
    for (; !idle_.empty() && (!paced || due <= now); due += interval_) {
      Connection* connection = idle_.front();
      idle_.pop_front();
      Ask(*connection, paced ? due : now);
    }
    // Asleep until something is due: a core that is never idle starves the kernel's own threads.
    const auto left = paced && !idle_.empty() ? due - now : std::chrono::milliseconds(100);
    const timespec wait = {
        0, std::clamp<int64_t>(std::chrono::nanoseconds(left).count(), 0, 100'000'000)};
    epoll_event events[64];
    const int count = ::epoll_pwait2(epoll_, events, 64, &wait, nullptr);
    for (int i = 0; i < count; ++i) OnInput(*static_cast<Connection*>(events[i].data.ptr));
  }
  // What is under way or overdue took at least so long.
  const auto unanswered = [&](Time asked) {
    taken_ms_.push_back(std::chrono::duration<double, std::milli>(now - asked).count());
  };
  for (const Connection& connection : connections_)
    if (paced && connection.busy && connection.due >= counted_from_) unanswered(connection.due);
  for (; paced && due < until; due += interval_) unanswered(std::max(due, counted_from_));
  const size_t answered = taken_ms_.size();
  if (answered < 100) Fail("hardly anything was answered");
  std::sort(taken_ms_.begin(), taken_ms_.end());
  std::printf("%.0f %.2f %.2f %.2f\n",
              static_cast<double>(answered) / static_cast<double>(seconds.count()),
              taken_ms_[answered / 2], taken_ms_[answered * 99 / 100], taken_ms_.back());
}

std::unique_ptr<rpc::RpcClient> MakeClient(const std::string& endpoint, bool compressed) {
  rpc::RpcClientOptions options;
  options.endpoint = endpoint;
  options.token.file = Environment("RPC_LOAD_TOKEN_FILE");
  options.tls.ca_file = Environment("RPC_LOAD_CA_FILE");
  options.offer_zstd = compressed;
  options.offer_gzip = false;
  auto client = rpc::RpcClient::Create(options);
  if (!client.ok()) Fail(client.error().message());
  return std::move(*client);
}

const rpc::MethodDescriptor* StreamEvents() {
  const auto* file = v1::StreamEventsRequest::descriptor()->file();
  return file->FindServiceByName("StreamService")->FindMethodByName("StreamEvents");
}

void Read(rpc::RpcClient& client) {
  v1::StreamEventsRequest request;
  request.mutable_range()->mutable_target()->set_latest(true);
  request.mutable_range()->set_allow_missing(true);
  auto stream = client.OpenStream(StreamEvents(), request);
  if (!stream.ok()) Fail(stream.error().message());
  v1::StreamEventsResponse message;
  uint64_t bytes = 0;
  for (;;) {
    const Result<bool> more = (*stream)->Next(&message);
    if (!more.ok()) Fail(more.error().message());
    if (!*more) break;
    bytes += message.data().size();
  }
  std::printf("%lu\n", bytes);
}

unsigned long ResidentKib(const std::string& pid) {
  std::ifstream status("/proc/" + pid + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmRSS:")) return std::stoul(line.substr(6));
  Fail("no process " + pid);
}

void Idle(rpc::RpcClient& client, size_t count, const std::string& pid) {
  rlimit descriptors{};
  ::getrlimit(RLIMIT_NOFILE, &descriptors);
  descriptors.rlim_cur = descriptors.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &descriptors);
  const auto* get_status = v1::GetStatusRequest::descriptor()
                               ->file()
                               ->FindServiceByName("ArchiveService")
                               ->FindMethodByName("GetStatus");
  v1::GetStatusResponse status;
  const Status asked = client.Call(get_status, v1::GetStatusRequest(), &status);
  if (!asked.ok() || status.sources_size() != 1) Fail("one source is needed " + asked.message());
  v1::StreamEventsRequest request;
  request.mutable_range()->set_follow(true);
  request.mutable_range()->set_exclude(status.sources(0).coverage().end());
  const unsigned long before = ResidentKib(pid);
  std::vector<std::unique_ptr<rpc::ClientStream>> streams;
  while (streams.size() < count) {
    auto stream = client.OpenStream(StreamEvents(), request);
    if (!stream.ok()) Fail(stream.error().message());
    streams.push_back(std::move(*stream));
  }
  unsigned long most = ResidentKib(pid), last = most;
  for (int i = 0; i < kIdleLooks; ++i) {
    std::this_thread::sleep_for(kIdleLook);
    last = ResidentKib(pid);
    most = std::max(most, last);
  }
  std::printf("%lu %lu %lu\n", before, most, last);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const std::string what = arguments.empty() ? "" : arguments[0];
  if (what == "unary" && (argc == 6 || argc == 7)) {
    UnaryLoad load(arguments[1], arguments[2] == "json", std::stoul(arguments[3]),
                   argc == 7 ? std::stod(arguments[5]) : 0);
    load.Run(std::chrono::seconds(std::stol(arguments[4])));
  } else if (what == "read" && argc == 4) {
    Read(*MakeClient(arguments[1], arguments[2] == "zstd"));
  } else if (what == "idle" && argc == 5) {
    Idle(*MakeClient(arguments[1], false), std::stoul(arguments[2]), arguments[3]);
  } else {
    Fail("usage: see rpc_load.cc");
  }
  return 0;
}
