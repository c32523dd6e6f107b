#include "proto/rpc/unary_call.h"

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <utility>

namespace tidemark::rpc {
namespace {

namespace asio = boost::asio;
using std::chrono::steady_clock;

// Who ends its half of the connection may be waiting for just this answer, or have left: nothing
// tells the two apart. The first gets it, if it does not take long.
constexpr std::chrono::milliseconds kHalfClosedMax{200};

// Shared by the coroutine and the pool's thread: the thread has `done` set, on the io thread, when
// it is through with the rest. Destroyed by the io thread.
struct UnaryWork {
  UnaryWork(Call&& its, Slot taken)
      : call(std::move(its)), slot(std::move(taken)), link(call.link.shared_from_this()) {}

  Call call;
  Slot slot;
  std::shared_ptr<HttpLink> link;
  std::unique_ptr<Message> request;
  std::optional<RpcError> error;
  HttpAnswer answer;
  bool done = false;
};

std::optional<RpcError> Encode(const Message& response, UnaryWork& work) {
  const CallHead& head = work.call.head;
  Result<std::string> bytes = EncodeMessage(head.type.codec, response);
  if (!bytes.ok()) return ToRpcError(bytes.error());
  work.answer.content_type = ContentTypeName(head.type);
  work.answer.body = std::move(*bytes);
  const bool worth_it = work.answer.body.size() >= kCompressBytesMin;
  if (!worth_it || head.answer_compression == Compression::kIdentity) return std::nullopt;
  work.answer.body = Compress(head.answer_compression, work.answer.body);
  work.answer.more_headers = std::string("Content-Encoding: ") +
                             CompressionName(head.answer_compression) +
                             "\r\nVary: Accept-Encoding\r\n";
  return std::nullopt;
}

std::optional<RpcError> Handle(UnaryWork& work) {
  Call& call = work.call;
  const auto interrupted = [] { return Status(Code::kInterrupted, "nobody waits for the answer"); };
  if (call.context.cancelled()) return ToRpcError(interrupted(), call.Expired());
  const auto& descriptor = *call.head.method->descriptor;
  std::unique_ptr<Message> request = NewMessage(descriptor.input_type());
  const Status decoded = DecodeRequest(call.head, std::move(call.body),
                                       call.server.options.limits.message_bytes_max, request.get());
  if (!decoded.ok()) return PeerError(decoded);
  work.request = std::move(request);
  std::unique_ptr<Message> response = NewMessage(descriptor.output_type());
  const Status handled = call.head.method->unary(call.context, *work.request, response.get());
  if (!handled.ok()) return ToRpcError(handled, call.Expired());
  return Encode(*response, work);
}

// In the pool.
void Work(UnaryWork& work) {
  Call& call = work.call;
  try {
    work.error = Handle(work);
  } catch (const std::exception& error) {
    work.error =
        RpcError{RpcCode::kInternal, std::string("the handler failed: ") + error.what(), {}};
  } catch (...) {
    work.error = RpcError{RpcCode::kInternal, "the handler failed", {}};
  }
  if (!call.audited()) return;
  AuditRecord record;
  record.context = &call.context;
  record.request = work.request.get();
  record.error = work.error;
  record.duration =
      std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - call.started);
  call.server.Audit(record);
}

void Start(const std::shared_ptr<UnaryWork>& work) {
  ServerState& server = work->call.server;
  // Keeps the io_context running until the handler has returned.
  auto home = asio::make_work_guard(server.io);
  asio::post(server.calls, [work = work, home = std::move(home)]() mutable {  // `work` not const
    Work(*work);
    asio::io_context& io = work->call.server.io;
    asio::post(io, [finished = std::move(work)] {
      const Call& call = finished->call;
      call.server.Count(call.method(), finished->error ? RpcCodeName(finished->error->code) : "ok",
                        call.started);
      finished->done = true;
      finished->link->Wake();
    });
  });
}

// Until it is done, or nobody waits for it any more.
asio::awaitable<void> WaitForWork(UnaryWork& work) {
  const Call& call = work.call;
  HttpLink& link = *work.link;
  // Watched for waking us only: what it means is said below.
  const auto stirred = std::make_shared<std::atomic<bool>>(false);
  link.Watch(stirred);
  auto left_at = HttpLink::Time::max();  // when we take it that the client has left
  while (!work.done && link.open() && !call.Expired()) {
    if (link.input_ended()) left_at = std::min(left_at, steady_clock::now() + kHalfClosedMax);
    if (call.server.stopping || steady_clock::now() >= left_at) *call.gone = true;
    const auto until = *call.gone ? HttpLink::Time::max() : left_at;
    co_await link.WaitUntil(std::min(until, call.context.deadline));
  }
}

}  // namespace

asio::awaitable<HttpAnswer> ServeUnary(Call call) {
  ServerState& server = call.server;
  Slot slot = Slot::Take(server.active_calls, server.options.limits.calls_max);
  if (!slot) {
    const RpcError busy{RpcCode::kResourceExhausted, "too many calls at a time: try again", {}};
    server.Count(call.method(), RpcCodeName(busy.code), call.started);
    co_return ErrorAnswer(busy);
  }
  const auto work = std::make_shared<UnaryWork>(std::move(call), std::move(slot));
  HttpLink& link = *work->link;
  Start(work);
  co_await WaitForWork(*work);
  link.Unwatch();
  if (!work->done) {  // the work goes on by itself, and is told that it need not
    *work->call.gone = true;
    co_return ErrorAnswer({RpcCode::kDeadlineExceeded, "the deadline has passed", {}});
  }
  if (!work->error) co_return std::move(work->answer);
  co_return ErrorAnswer(AsTold(*work->error, server));
}

}  // namespace tidemark::rpc
