#include "proto/rpc/stream_call.h"

#include <algorithm>
#include <utility>

#include "proto/rpc/envelope.h"
#include "proto/rpc/http_answer.h"
#include "replication/base/pool_work.h"

namespace tidemark::rpc {
namespace {

namespace asio = boost::asio;
using std::chrono::steady_clock;

// A slow stream's messages are not held back for longer than this to fill a batch.
constexpr std::chrono::milliseconds kBatchMax{20};

struct Batch {
  std::string envelopes;
  uint64_t messages = 0;
  MessageStream::State state = MessageStream::State::kNothingYet;
  std::optional<RpcError> error;
  std::string topic;  // of a stream that waits: as it was, and had grown, before it was last asked
  uint64_t growth = 0;
};

// Of what is being caught.
RpcError HandlerThrew() {
  try {
    throw;
  } catch (const std::exception& error) {
    return {RpcCode::kInternal, std::string("the handler failed: ") + error.what(), {}};
  } catch (...) {
    return {RpcCode::kInternal, "the handler failed", {}};
  }
}

class StreamCall {
 public:
  explicit StreamCall(Call call) : call_(std::move(call)), server_(call_.server) {}
  asio::awaitable<bool> Run();

 private:
  asio::awaitable<std::optional<RpcError>> Serve();
  std::optional<RpcError> Open();
  Batch MakeBatch();
  bool AskOnce(Message* message, Batch* batch);
  Status AppendMessage(const Message& message, std::string* envelopes) const;
  std::optional<RpcError> WhyOver();
  asio::awaitable<void> Wait(const Batch& batch);
  asio::awaitable<void> Release();
  asio::awaitable<Status> Send(std::string_view bytes);
  asio::awaitable<void> AuditInPool(bool begins, std::optional<RpcError> error);

  Call call_;
  ServerState& server_;
  std::unique_ptr<Message> request_;  // from Open to Release the pool's, one thread at a time
  std::unique_ptr<MessageStream> stream_;
  uint64_t access_version_ = 0;
};

asio::awaitable<bool> StreamCall::Run() {
  HttpLink& link = call_.link;
  Slot slot = Slot::Take(server_.active_streams, server_.options.limits.streams_max);
  std::optional<RpcError> error;
  if (slot) {
    link.Watch(call_.gone);
    error = co_await Serve();
    link.Unwatch();
  } else {
    error = RpcError{RpcCode::kResourceExhausted, "too many streams at a time: try again", {}};
    const std::string refused = RefusedStream(call_.head, *error, call_.chunked, call_.keep_alive);
    const Status ignored = co_await link.Write(refused);
  }
  server_.Count(call_.method(), error ? RpcCodeName(error->code) : "ok", call_.started);
  co_return link.open() && call_.chunked;
}

asio::awaitable<std::optional<RpcError>> StreamCall::Serve() {
  std::optional<RpcError> error;
  access_version_ = server_.access_version;
  auto open = [this] { return Open(); };
  error = co_await InPool(server_.calls, open);
  co_await AuditInPool(/*begins=*/true, std::nullopt);  // nothing has been given yet
  call_.share.Release();
  std::string compression;
  if (call_.head.answer_compression != Compression::kIdentity) {
    compression = std::string("Connect-Content-Encoding: ") +
                  CompressionName(call_.head.answer_compression) + "\r\n";
  }
  const std::string head =
      StreamHead(ContentTypeName(call_.head.type), compression, call_.chunked, call_.keep_alive);
  Status sent = co_await call_.link.Write(head);
  for (bool ended = false; sent.ok() && !error && !ended;) {
    auto make = [this] { return MakeBatch(); };
    Batch batch = co_await InPool(server_.streams, make);
    if (!batch.envelopes.empty()) sent = co_await Send(batch.envelopes);
    batch.envelopes = {};
    if (batch.messages) server_.CountMessages(call_.method(), batch.messages);
    ended = batch.state == MessageStream::State::kEnd;
    error = batch.error;
    if (!error && !ended && sent.ok()) error = WhyOver();
    if (!error && batch.state == MessageStream::State::kWaiting) {
      co_await Wait(batch);
      error = WhyOver();
    }
  }
  co_await Release();
  if (!sent.ok() && !error) error = RpcError{RpcCode::kCanceled, sent.message(), {}};
  if (error) error = AsTold(*error, server_);
  std::string last;
  AppendEnvelope(kEnvelopeEndStream, EncodeEndStream(error), &last);
  sent = co_await Send(last);
  if (sent.ok() && call_.chunked) sent = co_await call_.link.Write(kLastChunk);
  co_await AuditInPool(/*begins=*/false, error);
  co_return error;
}

// In the pool; may wait for a disk.
std::optional<RpcError> StreamCall::Open() try {
  const auto& descriptor = *call_.head.method->descriptor;
  std::unique_ptr<Message> request = NewMessage(descriptor.input_type());
  const Status decoded = DecodeRequest(call_.head, std::exchange(call_.body, {}),
                                       server_.options.limits.message_bytes_max, request.get());
  if (!decoded.ok()) return PeerError(decoded);
  request_ = std::move(request);
  if (call_.context.cancelled())
    return ToRpcError(Status(Code::kInterrupted, "nobody waits for it"), call_.Expired());
  Result<std::unique_ptr<MessageStream>> stream =
      call_.head.method->stream(call_.context, *request_);
  if (!stream.ok()) return ToRpcError(stream.error(), call_.Expired());
  stream_ = std::move(*stream);
  return std::nullopt;
} catch (...) {
  return HandlerThrew();
}

// In the pool: as many messages as make a batch, or as there are.
Batch StreamCall::MakeBatch() {
  Batch batch;
  try {
    const auto until = steady_clock::now() + kBatchMax;
    const std::unique_ptr<Message> message =
        NewMessage(call_.head.method->descriptor->output_type());
    while (AskOnce(message.get(), &batch)) {
      if (batch.envelopes.size() >= server_.options.limits.batch_bytes) break;
      if (steady_clock::now() >= until || call_.context.cancelled()) break;
    }
  } catch (...) {
    batch.error = HandlerThrew();
  }
  return batch;
}

// False: the batch ends here.
bool StreamCall::AskOnce(Message* message, Batch* batch) {
  batch->topic = stream_->topic();
  batch->growth = server_.topics.Growth(batch->topic);
  message->Clear();
  const Result<MessageStream::State> state = stream_->Next(message);
  Status status = state.ok() ? OkStatus() : state.error();
  if (state.ok()) batch->state = *state;
  if (state.ok() && *state == MessageStream::State::kMessage) {
    status = AppendMessage(*message, &batch->envelopes);
    if (status.ok()) ++batch->messages;
  }
  if (!status.ok()) batch->error = ToRpcError(status, call_.Expired());
  // Of a new topic nothing is known: whether it has grown since it was looked at.
  if (batch->state == MessageStream::State::kWaiting && stream_->topic() != batch->topic)
    batch->state = MessageStream::State::kNothingYet;
  return status.ok() && batch->state == MessageStream::State::kMessage;
}

Status StreamCall::AppendMessage(const Message& message, std::string* envelopes) const {
  TM_ASSIGN_OR_RETURN(const std::string bytes, EncodeMessage(call_.head.type.codec, message));
  const Compression compression = call_.head.answer_compression;
  if (compression == Compression::kIdentity || bytes.size() < kCompressBytesMin) {
    AppendEnvelope(0, bytes, envelopes);
  } else {
    AppendEnvelope(kEnvelopeCompressed, Compress(compression, bytes), envelopes);
  }
  return OkStatus();
}

// Reasons that are not the stream's own.
std::optional<RpcError> StreamCall::WhyOver() {
  if (call_.Expired()) return RpcError{RpcCode::kDeadlineExceeded, "the deadline has passed", {}};
  if (server_.stopping) return RpcError{RpcCode::kUnavailable, "the server stops", {}};
  if (*call_.gone) return RpcError{RpcCode::kCanceled, "the client has gone", {}};
  const uint64_t version = server_.access_version;
  if (std::exchange(access_version_, version) != version) {
    const std::shared_ptr<const AccessList> access = server_.Access();
    if (!access->StillHas(call_.caller))
      return RpcError{
          RpcCode::kUnauthenticated, "'" + call_.caller.identity + "' is not let in any more", {}};
  }
  return std::nullopt;
}

asio::awaitable<void> StreamCall::Wait(const Batch& batch) {
  // No suspension between here and the waiting: what grows from now on wakes it.
  const Topics::Waiter waiter(server_.topics, batch.topic, call_.link);
  if (server_.topics.Growth(batch.topic) != batch.growth) co_return;
  const auto tick = steady_clock::now() + server_.options.limits.tick;
  co_await call_.link.WaitUntil(std::min(tick, call_.context.deadline));
}

// A stream may close files.
asio::awaitable<void> StreamCall::Release() {
  auto release = [this] {
    stream_.reset();
    return true;
  };
  if (stream_) co_await InPool(server_.streams, release);
}

asio::awaitable<Status> StreamCall::Send(std::string_view bytes) {
  if (!call_.chunked) co_return co_await call_.link.Write(bytes);
  const std::string chunk = Chunk(bytes);
  co_return co_await call_.link.Write(chunk);
}

asio::awaitable<void> StreamCall::AuditInPool(bool begins, std::optional<RpcError> error) {
  if (!call_.audited()) co_return;
  auto audit = [&] {
    AuditRecord record;
    record.context = &call_.context;
    record.request = request_.get();
    record.begins = begins;
    record.error = error;
    if (!begins)
      record.duration = std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() -
                                                                              call_.started);
    server_.Audit(record);
    return true;
  };
  co_await InPool(server_.calls, audit);
}

}  // namespace

asio::awaitable<bool> ServeStream(Call call) {
  StreamCall stream(std::move(call));
  co_return co_await stream.Run();
}

std::string RefusedStream(const CallHead& head, const RpcError& error, bool chunked,
                          bool keep_alive) {
  std::string last;
  AppendEnvelope(kEnvelopeEndStream, EncodeEndStream(error), &last);
  std::string bytes = StreamHead(ContentTypeName(head.type), "", chunked, keep_alive);
  if (!chunked) return bytes + last;
  return bytes + Chunk(last) + std::string(kLastChunk);
}

}  // namespace tidemark::rpc
