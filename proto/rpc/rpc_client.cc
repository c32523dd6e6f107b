#include "proto/rpc/rpc_client.h"

#include <google/protobuf/descriptor.pb.h>

#include <algorithm>
#include <utility>

#include "proto/rpc/client_exchange.h"
#include "proto/rpc/message_codec.h"

namespace tidemark::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using Outcome = ClientLink::Outcome;

constexpr int64_t kTimeoutMsMax = 9'999'999'999;  // ten digits are all that Connect-Timeout-Ms has
constexpr milliseconds kForeverIsh{365LL * 24 * 3600 * 1000};

bool IsIdempotent(const MethodDescriptor& method) {
  return method.options().idempotency_level() !=
         google::protobuf::MethodOptions::IDEMPOTENCY_UNKNOWN;
}

steady_clock::time_point After(milliseconds time) {
  return steady_clock::now() + std::min(time, kForeverIsh);
}

std::string Offered(const RpcClientOptions& options) {
  if (options.offer_zstd) return options.offer_gzip ? "zstd, gzip" : "zstd";
  return options.offer_gzip ? "gzip" : "identity";
}

}  // namespace

Result<std::unique_ptr<RpcClient>> RpcClient::Create(RpcClientOptions options) {
  TM_RETURN_IF_ERROR(ValidateOptions(options));
  TM_ASSIGN_OR_RETURN(Endpoint endpoint, ParseEndpoint(options.endpoint));
  TM_ASSIGN_OR_RETURN(std::string token, ReadToken(options.token));
  std::shared_ptr<TlsContext> tls;
  if (UsesTls(options, endpoint)) {
    TM_ASSIGN_OR_RETURN(tls, MakeClientTls(options.tls));
  }
  return std::unique_ptr<RpcClient>(
      new RpcClient(std::move(options), std::move(endpoint), std::move(token), std::move(tls)));
}

RpcClient::RpcClient(RpcClientOptions options, Endpoint endpoint, std::string token,
                     std::shared_ptr<TlsContext> tls)
    : options_(std::move(options)),
      endpoint_(std::move(endpoint)),
      token_(std::move(token)),
      tls_(std::move(tls)),
      server_name_(options_.tls.server_name.empty() ? endpoint_.host : options_.tls.server_name),
      random_(std::random_device()()) {}

RpcClient::~RpcClient() = default;

Result<ClientExchange> RpcClient::Prepare(const MethodDescriptor& method, const Message& request,
                                          const CallOptions& options) const {
  TM_CHECK(!method.client_streaming() && request.GetDescriptor() == method.input_type());
  ClientExchange exchange;
  exchange.context = {endpoint_.Text(), method.service()->full_name() + "/" + method.name(),
                      options_.message_bytes_max};
  exchange.is_stream = method.server_streaming();
  exchange.idempotent = options.idempotent.value_or(IsIdempotent(method));
  exchange.in_tls = tls_ != nullptr;
  TM_ASSIGN_OR_RETURN(exchange.request, EncodeMessage(Codec::kProto, request));
  if (exchange.is_stream) {
    std::string envelope;
    AppendEnvelope(0, exchange.request, &envelope);
    exchange.request = std::move(envelope);
  }
  exchange.patience.interrupted = options.interrupted;
  exchange.allowed = options.deadline;
  if (exchange.allowed.count() <= 0 && !exchange.is_stream)
    exchange.allowed = options_.default_deadline;
  if (exchange.allowed.count() > 0) exchange.patience.until = After(exchange.allowed);
  return exchange;
}

std::string RpcClient::RequestHead(const ClientExchange& exchange) const {
  std::string head = "POST /" + exchange.context.method + " HTTP/1.1\r\n";
  const auto add = [&head](const char* name, const std::string& value) {
    head.append(name).append(": ").append(value).append("\r\n");
  };
  add("Host", endpoint_.Authority());
  add("User-Agent", options_.user_agent);
  add("Content-Type", ContentTypeName({Codec::kProto, exchange.is_stream}));
  add("Content-Length", std::to_string(exchange.request.size()));
  add("Connect-Protocol-Version", "1");
  if (exchange.allowed.count() > 0) {
    const auto left =
        std::chrono::ceil<milliseconds>(exchange.patience.until - steady_clock::now());
    add("Connect-Timeout-Ms", std::to_string(std::clamp<int64_t>(left.count(), 1, kTimeoutMsMax)));
  }
  // A stream's messages are compressed one by one, never the body as a whole.
  if (exchange.is_stream) add("Connect-Accept-Encoding", Offered(options_));
  add("Accept-Encoding", exchange.is_stream ? "identity" : Offered(options_));
  if (!token_.empty()) add("Authorization", "Bearer " + token_);
  return head + "\r\n";
}

// A connection for the exchange: the one that is left from the last call if nothing speaks against
// it, else a new one.
Status RpcClient::Acquire(ClientExchange& exchange, bool fresh) {
  std::unique_ptr<ClientLink> link;
  if (!fresh && !exchange.is_stream) link = std::move(idle_);
  if (link && link->IsQuiet()) {
    exchange.Restart(std::move(link), true);
    return OkStatus();
  }
  Patience patience = exchange.patience;
  patience.until = std::min(patience.until, After(options_.connect_timeout));
  TM_ASSIGN_OR_RETURN(link, ClientLink::Open(endpoint_, tls_, server_name_, patience));
  exchange.Restart(std::move(link), false);
  return OkStatus();
}

// Sends, and reads the answer's head: also if sending breaks, for the peer may have said why before
// it hung up.
Verdict RpcClient::Send(ClientExchange& exchange) {
  exchange.sent = true;
  const Outcome wrote =
      exchange.link->Write(RequestHead(exchange) + exchange.request, exchange.patience);
  if (wrote != Outcome::kDone && wrote != Outcome::kBroken) return exchange.Ended(wrote);
  const Verdict unsent = wrote == Outcome::kBroken ? exchange.Ended(wrote) : Verdict();
  const auto until =
      exchange.is_stream ? After(options_.default_deadline) : exchange.patience.until;
  Verdict read = exchange.ReadHead(until);
  const bool says_nothing =
      !exchange.reader.started() && read.status.code() == Code::kSourceUnavailable;
  return !unsent.status.ok() && says_nothing ? unsent : read;
}

Verdict RpcClient::TryUnary(ClientExchange& exchange, bool fresh, Message* response) {
  if (Status acquired = Acquire(exchange, fresh); !acquired.ok())
    return {acquired, acquired.code() == Code::kSourceUnavailable};
  Verdict verdict = Send(exchange);
  if (!verdict.status.ok()) {
    // The server closed the connection just as we took it up again: no reason to wait.
    const bool stale = exchange.reused && !exchange.reader.started() && verdict.retryable;
    return stale && exchange.idempotent ? TryUnary(exchange, true, response) : verdict;
  }
  verdict = exchange.ReadBody();
  if (!verdict.status.ok()) return verdict;
  verdict = JudgeUnary(exchange.reader.head(), exchange.body, exchange.context, response);
  if (exchange.reader.reusable()) idle_ = std::move(exchange.link);
  return verdict;
}

Verdict RpcClient::TryStream(ClientExchange& exchange, bool* is_stream) {
  if (Status acquired = Acquire(exchange, true); !acquired.ok())
    return {acquired, acquired.code() == Code::kSourceUnavailable};
  if (Verdict sent = Send(exchange); !sent.status.ok()) return sent;
  *is_stream = IsStream(exchange.reader.head());
  if (*is_stream) return {};
  if (exchange.reader.head().status == 200)  // of no use, and perhaps endless
    return RefusedStream(exchange.reader.head(), {}, exchange.context);
  const auto until = exchange.patience.until;  // a stream's; an error has to come in time
  exchange.patience.until = std::min(until, After(options_.default_deadline));
  const Verdict read = exchange.ReadBody();
  exchange.patience.until = until;
  if (!read.status.ok()) return read;
  return RefusedStream(exchange.reader.head(), exchange.body, exchange.context);
}

// Doubled each time up to a limit, and made uneven, so that clients of a server that was down do
// not all come back at once.
milliseconds RpcClient::PauseAfter(uint32_t attempts) {
  const RetryOptions& retry = options_.retry;
  const int64_t doubled = retry.pause_min.count() << std::min<uint32_t>(attempts - 1, 16);
  const int64_t most = std::max<int64_t>(0, std::min<int64_t>(doubled, retry.pause_max.count()));
  return milliseconds(std::uniform_int_distribution<int64_t>(most / 2, most)(random_));
}

Status RpcClient::Repeat(const ClientExchange& exchange, const std::function<Verdict()>& attempt) {
  for (uint32_t attempts = 1;; ++attempts) {
    const Verdict verdict = attempt();
    if (verdict.status.ok()) return OkStatus();
    const milliseconds pause = PauseAfter(attempts);
    const bool again = verdict.retryable && exchange.idempotent &&
                       attempts < options_.retry.attempts_max &&
                       steady_clock::now() + pause < exchange.patience.until;
    if (again) {
      if (Pause(pause, exchange.patience) == Outcome::kInterrupted)
        return Status(Code::kInterrupted,
                      "interrupted while waiting to call " + exchange.context.where + " again");
      continue;
    }
    const Status& status = verdict.status;
    const bool unknown = !exchange.idempotent && exchange.sent && !exchange.reader.head_done() &&
                         status.code() == Code::kSourceUnavailable;
    return Status(status.code(),
                  status.message() + (attempts > 1 && verdict.retryable
                                          ? " (after " + std::to_string(attempts) + " attempts)"
                                          : ""),
                  unknown ? "it may or may not have been carried out: look before you repeat it"
                          : status.hint());
  }
}

Status RpcClient::Call(const MethodDescriptor* method, const Message& request, Message* response,
                       const CallOptions& options) {
  TM_CHECK(!method->server_streaming() && response->GetDescriptor() == method->output_type());
  TM_ASSIGN_OR_RETURN(ClientExchange exchange, Prepare(*method, request, options));
  return Repeat(exchange, [&] { return TryUnary(exchange, false, response); });
}

Result<std::unique_ptr<ClientStream>> RpcClient::OpenStream(const MethodDescriptor* method,
                                                            const Message& request,
                                                            const CallOptions& options) {
  TM_CHECK(method->server_streaming());
  TM_ASSIGN_OR_RETURN(ClientExchange prepared, Prepare(*method, request, options));
  auto exchange = std::make_unique<ClientExchange>(std::move(prepared));
  bool is_stream = false;
  TM_RETURN_IF_ERROR(Repeat(*exchange, [&] { return TryStream(*exchange, &is_stream); }));
  return std::unique_ptr<ClientStream>(new ClientStream(std::move(exchange), options.silence_max));
}

ClientStream::ClientStream(std::unique_ptr<ClientExchange> exchange, milliseconds silence_max)
    : exchange_(std::move(exchange)),
      silence_max_(silence_max),
      answer_(exchange_->reader.head(), exchange_->context) {}

ClientStream::~ClientStream() = default;

const HttpHead& ClientStream::head() const { return exchange_->reader.head(); }
const ClientStream::Metadata& ClientStream::metadata() const { return answer_.metadata(); }

// What is there goes to `answer_`; else reads.
Status ClientStream::ReadMore() {
  ClientExchange& exchange = *exchange_;
  if (exchange.body.empty()) {
    if (exchange.reader.done()) {
      return Status(Code::kSourceUnavailable, "the stream of " + exchange.context.method +
                                                  " from " + exchange.context.where +
                                                  " broke off: nothing says that it was all");
    }
    const auto until =
        silence_max_.count() > 0 ? After(silence_max_) : steady_clock::time_point::max();
    const Verdict read = exchange.ReadOnce(until);
    if (!read.status.ok() && exchange.body.empty()) {
      const bool silent = silence_max_.count() > 0 &&
                          read.status.code() == Code::kSourceUnavailable &&
                          steady_clock::now() >= until;
      return silent ? Status(Code::kSourceUnavailable, exchange.context.where +
                                                           " has sent nothing for " +
                                                           TimeText(silence_max_))
                    : read.status;
    }
    failed_ = read.status;  // told once what came before it is taken
  }
  answer_.Append(exchange.body);
  exchange.body.clear();
  return OkStatus();
}

Result<bool> ClientStream::Next(Message* message) {
  for (;;) {
    TM_ASSIGN_OR_RETURN(const StreamAnswer::State state, answer_.Next(message));
    if (state == StreamAnswer::State::kMessage) return true;
    if (state == StreamAnswer::State::kEnd) {
      exchange_->link.reset();
      return false;
    }
    if (!failed_.ok()) return failed_;
    if (Status more = ReadMore(); !more.ok()) return failed_ = more;
  }
}

}  // namespace tidemark::rpc
