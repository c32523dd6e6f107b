#include "proto/rpc/connection.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "proto/rpc/call_head.h"
#include "proto/rpc/http_answer.h"
#include "proto/rpc/http_request.h"
#include "proto/rpc/stream_call.h"
#include "proto/rpc/unary_call.h"
#include "replication/base/pool_work.h"

namespace tidemark::rpc {
namespace {

namespace asio = boost::asio;

constexpr const char* kUnknownMethod = "unknown";
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

HttpAnswer PlainAnswer(int status, std::string text) {
  return {status, "text/plain; charset=utf-8", "", std::move(text) + "\n"};
}

RpcError Error(RpcCode code, std::string message) { return {code, std::move(message), {}}; }

class Client {
 public:
  explicit Client(Admission& admission)
      : admission_(admission), server_(admission.server()), link_(admission.link()) {}
  asio::awaitable<void> Run();

 private:
  // What is the matter with a body that was not read to its end.
  using BodyError = std::optional<RpcError>;

  asio::awaitable<bool> ServeRequest();
  asio::awaitable<Status> ReadHead(HttpRequest& request);
  asio::awaitable<bool> ServePage(HttpRequest& request, const ServerPage& page);
  asio::awaitable<bool> ServeMethod(HttpRequest& request, CallHead head);
  asio::awaitable<bool> RefuseCall(HttpRequest& request, Call& call, RpcError error);
  asio::awaitable<BodyError> ReadBody(HttpRequest& request, BodyShare& share);
  asio::awaitable<bool> Send(HttpRequest& request, const HttpAnswer& answer);
  std::optional<Caller> Identify(const HttpRequest& request) const;
  bool KeepAlive(const HttpRequest& request) const;

  Admission& admission_;
  ServerState& server_;
  HttpLink& link_;
};

asio::awaitable<void> Client::Run() {
  if (admission_.tls()) {
    const HttpLink::Deadline deadline(link_, server_.options.limits.head_max,
                                      Status(Code::kIo, "no TLS handshake in time"));
    const Status shaken = co_await link_.StartTls(server_.tls->current());
    if (!shaken.ok()) {
      spdlog::debug("connection of {}: {}", link_.peer(), shaken.message());
      co_return;
    }
  }
  while (link_.open() && co_await ServeRequest()) {
  }
  co_await link_.Finish();
  spdlog::debug("connection of {}: {}", link_.peer(), link_.why_closed().message());
}

// False: the connection is to be closed.
asio::awaitable<bool> Client::ServeRequest() {
  HttpRequest request(server_.options.limits.header_bytes_max);
  link_.SetBusy(false);
  const Status read = co_await ReadHead(request);
  if (!read.ok()) {
    if (!link_.open() || read.code() == Code::kEndOfData) co_return false;
    const bool too_long = read.code() == Code::kUsage;
    const std::string answer =
        AnswerBytes(PlainAnswer(too_long ? 431 : 400, read.message()), /*keep_alive=*/false);
    const Status ignored = co_await link_.Write(answer);
    co_return false;
  }
  link_.SetBusy(true);
  const auto page = server_.pages.find(request.path());
  if (page != server_.pages.end()) co_return co_await ServePage(request, page->second);
  std::variant<CallHead, HttpAnswer> head = ReadCallHead(request, server_.registry);
  if (CallHead* call = std::get_if<CallHead>(&head)) {
    CallHead taken = std::move(*call);
    co_return co_await ServeMethod(request, std::move(taken));
  }
  const HttpAnswer& refused = std::get<HttpAnswer>(head);
  server_.Count(kUnknownMethod, RpcCodeName(RpcCode::kUnimplemented),
                std::chrono::steady_clock::now());
  co_return co_await Send(request, refused);
}

asio::awaitable<Status> Client::ReadHead(HttpRequest& request) {
  const RpcLimits& limits = server_.options.limits;
  std::optional<HttpLink::Deadline> deadline;
  const auto patience = admission_.stranger() ? limits.head_max : limits.idle_max;
  deadline.emplace(link_, patience, Status(Code::kIo, "the client is idle"));
  for (bool begun = false;;) {
    if (server_.stopping) co_return Status(Code::kEndOfData, "the server stops");
    if (!begun && !link_.input().empty()) {
      begun = true;
      deadline.emplace(link_, limits.head_max, Status(Code::kIo, "no whole request in time"));
    }
    Result<HttpRequest::Step> step = request.Put(&link_.input());
    if (!step.ok()) co_return step.error();
    if (*step == HttpRequest::Step::kHead) co_return OkStatus();
    const Status filled = co_await link_.Fill(kReadBytes);
    if (!filled.ok()) co_return filled;
  }
}

// Nobody's: who shows nothing, and is not let in as anonymous.
std::optional<Caller> Client::Identify(const HttpRequest& request) const {
  Credentials credentials;
  credentials.authorization = request.Header("Authorization");
  credentials.common_name = link_.common_name();
  // A web page that somebody here looks at is not somebody here.
  const bool a_browser = request.Header("Origin") || request.Header("Sec-Fetch-Site");
  const bool meant_for_us =
      link_.is_unix() || IsLocalHostName(request.Header("Host").value_or("localhost"));
  if (link_.on_this_machine() && meant_for_us && !a_browser)
    credentials.anonymous_role =
        link_.is_unix() ? server_.options.unix_role.value_or(server_.options.anonymous_role)
                        : server_.options.anonymous_role;
  return server_.Access()->Identify(credentials);
}

bool Client::KeepAlive(const HttpRequest& request) const {
  return request.keep_alive() && request.done() && !server_.stopping &&
         !(link_.input_ended() && link_.input().empty());
}

// What is left of the request in what has come already is taken; a longer one ends the connection.
asio::awaitable<bool> Client::Send(HttpRequest& request, const HttpAnswer& answer) {
  if (!request.done() && request.content_length().value_or(kReadAheadMax) < kReadAheadMax) {
    const Result<HttpRequest::Step> ignored = request.Put(&link_.input());
  }
  const bool keep_alive = KeepAlive(request);
  const std::string bytes = AnswerBytes(answer, keep_alive, request.method() == "HEAD");
  const Status written = co_await link_.Write(bytes);
  co_return written.ok() && keep_alive;
}

asio::awaitable<bool> Client::ServePage(HttpRequest& request, const ServerPage& page) {
  HttpAnswer answer;
  const std::optional<Caller> caller = Identify(request);
  const auto refused = caller ? Refuse(*caller, page.role)
                              : Error(RpcCode::kUnauthenticated, "the token is not valid");
  if (request.method() != "GET" && request.method() != "HEAD") {
    answer = PlainAnswer(405, "this is a page: GET it");
    answer.more_headers = "Allow: GET, HEAD\r\n";
  } else if (refused && page.role != Role::kNone) {
    answer = ErrorAnswer(*refused);
  } else {
    if (page.role != Role::kNone) admission_.SetKnown();
    const Slot slot = Slot::Take(server_.active_calls, server_.options.limits.calls_max);
    auto make = [&page] { return page.page(); };
    PageAnswer made{429, "text/plain; charset=utf-8", "too many calls at a time\n"};
    if (slot) made = co_await InPool(server_.pages_pool, make);
    answer = {made.status, std::move(made.content_type), "Cache-Control: no-store\r\n",
              std::move(made.body)};
  }
  co_return co_await Send(request, answer);
}

asio::awaitable<bool> Client::ServeMethod(HttpRequest& request, CallHead head) {
  Call call(server_, link_);
  call.head = std::move(head);
  call.chunked = request.http11();
  std::optional<Caller> caller = Identify(request);
  std::optional<RpcError> refused =
      caller ? Refuse(*caller, call.head.method->role)
             : Error(RpcCode::kUnauthenticated, "the token is not valid");
  if (caller) call.caller = std::move(*caller);
  SetContext(call);
  if (!refused) refused = call.head.refused;
  if (!refused && !server_.accept_calls)
    refused = Error(RpcCode::kUnavailable, "the server is still starting: try again");
  if (!refused) {
    admission_.SetKnown();
    refused = co_await ReadBody(request, call.share);
  }
  if (!link_.open()) co_return false;
  if (!refused && call.Expired())
    refused = Error(RpcCode::kDeadlineExceeded, "the deadline has passed");
  if (refused) co_return co_await RefuseCall(request, call, *refused);
  call.body = request.TakeBody();
  call.keep_alive = KeepAlive(request);
  if (call.head.type.stream) {
    const bool usable = co_await ServeStream(std::move(call));
    co_return usable&& KeepAlive(request);
  }
  const HttpAnswer answer = co_await ServeUnary(std::move(call));
  co_return co_await Send(request, answer);
}

asio::awaitable<bool> Client::RefuseCall(HttpRequest& request, Call& call, RpcError error) {
  server_.Count(call.method(), RpcCodeName(error.code), call.started);
  if (call.audited()) {
    auto audit = [&] {
      AuditRecord record;
      record.context = &call.context;
      record.error = error;
      server_.Audit(record);
      return true;
    };
    co_await InPool(server_.pages_pool, audit);
  }
  if (!call.head.type.stream) {
    const HttpAnswer answer = ErrorAnswer(error);
    co_return co_await Send(request, answer);
  }
  const bool keep_alive = KeepAlive(request) && call.chunked;
  const std::string answer = RefusedStream(call.head, error, call.chunked, keep_alive);
  const Status written = co_await link_.Write(answer);
  co_return written.ok() && keep_alive;
}

asio::awaitable<Client::BodyError> Client::ReadBody(HttpRequest& request, BodyShare& share) {
  const RpcLimits& limits = server_.options.limits;
  const HttpLink::Deadline deadline(link_, limits.body_max,
                                    Status(Code::kIo, "no whole body in time"));
  // An envelope's head more than the message.
  const uint64_t bytes_max = limits.message_bytes_max + 16;
  const Status too_long(Code::kUsage, "the request is longer than " +
                                          std::to_string(limits.message_bytes_max) + " bytes");
  if (request.content_length().value_or(0) > bytes_max) co_return PeerError(too_long);
  if (request.expects_continue() && !request.done() && link_.input().empty()) {
    const Status ignored = co_await link_.Write(kContinue);
  }
  while (!request.done()) {
    const Result<HttpRequest::Step> step = request.Put(&link_.input());
    if (!step.ok()) co_return PeerError(step.error());
    if (request.body_bytes() > bytes_max) co_return PeerError(too_long);
    if (!share.GrowTo(request.body_bytes()))
      co_return Error(RpcCode::kResourceExhausted, "too many requests at a time: try again");
    if (request.done()) break;
    const Status filled = co_await link_.Fill(kReadBodyBytes);
    if (!filled.ok()) {
      if (link_.open()) link_.Close(filled);
      co_return PeerError(filled);
    }
  }
  co_return std::nullopt;
}

}  // namespace

Admission::Admission(ServerState& server, HttpLink::Socket socket, bool tls)
    : server_(server),
      link_(std::make_shared<HttpLink>(std::move(socket), server.options.limits.stalled_max,
                                       server.bytes)),
      tls_(tls) {
  server_.links.insert(link_.get());
  ++server_.connections;
  ++server_.strangers;
}

Admission::~Admission() {
  SetKnown();
  server_.links.erase(link_.get());
  --server_.connections;
  if (server_.links.empty()) server_.stop_timer.cancel();
  link_->Close(Status(Code::kEndOfData, "the connection is over"));
}

void Admission::SetKnown() {
  if (std::exchange(stranger_, false)) --server_.strangers;
}

asio::awaitable<void> ServeClient(std::unique_ptr<Admission> admission) {
  try {
    Client client(*admission);
    co_await client.Run();
  } catch (const std::exception& error) {  // exhausted memory: theirs is the connection that ends
    spdlog::error("connection of {}: {}", admission->link().peer(), error.what());
  }
}

}  // namespace tidemark::rpc
