// The client that `pitr --server` uses: calls methods of a Tidemark server (any that speaks the
// Connect protocol over HTTP/1.1), in protobuf's binary form, and blocks until the answer is there.
//
// One object belongs to one thread, its streams too; a stream has a connection of its own and may
// outlive the client. Nothing connects before the first call; one connection is kept for the next.
// Every wait has an end: a deadline, an interruption, or (streams) TCP's keep-alive.
//
// Errors: the server's own come back as the very Status that it had (rpc_error.h), but for one: it
// is never our interruption that *it* gave up; that is kSourceUnavailable. The transport's:
//   kSourceUnavailable  cannot be reached, did not answer in time, or the connection broke
//   kSourceRefused      TLS, certificate, token; or what answers is no Tidemark server
//   kCorruption         the answer breaks the protocol or a limit
//   kInterrupted        CallOptions::interrupted said so
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "proto/rpc/client_link.h"
#include "proto/rpc/connect_answer.h"
#include "proto/rpc/rpc_client_options.h"
#include "replication/base/status.h"

namespace tidemark::rpc {

using google::protobuf::Message;
using google::protobuf::MethodDescriptor;

struct CallOptions {
  // Of the whole call, retries included; the server is told, too. Zero: default_deadline for a
  // unary call, none for a stream.
  std::chrono::milliseconds deadline{0};
  // Streams: the longest silence. Zero: none is too long, as when following an idle source.
  std::chrono::milliseconds silence_max{0};
  std::function<bool()> interrupted = {};  // asked about ten times a second while we wait
  // May the call be made again when it is not known whether it was carried out? Unset: if the
  // method says so (idempotency_level = NO_SIDE_EFFECTS or IDEMPOTENT).
  std::optional<bool> idempotent = {};
};

struct ClientExchange;

// A server's stream of messages, under way.
class ClientStream {
 public:
  using Metadata = StreamAnswer::Metadata;
  ~ClientStream();

  // True: `message` is the next. False: the server says that this was all. A connection that ends
  // without that is kSourceUnavailable. An error or the end stays.
  Result<bool> Next(Message* message);
  const HttpHead& head() const;
  const Metadata& metadata() const;  // what came with the end, or with the server's error

 private:
  friend class RpcClient;
  ClientStream(std::unique_ptr<ClientExchange> exchange, std::chrono::milliseconds silence_max);
  Status ReadMore();

  std::unique_ptr<ClientExchange> exchange_;
  const std::chrono::milliseconds silence_max_;
  StreamAnswer answer_;
  Status failed_;
};

class RpcClient {
 public:
  // Reads the files that the options name; does not connect. kUsage.
  static Result<std::unique_ptr<RpcClient>> Create(RpcClientOptions options);
  ~RpcClient();
  RpcClient(const RpcClient&) = delete;
  RpcClient& operator=(const RpcClient&) = delete;

  // `response` must be of the method's output type; what it holds after an error is of no use.
  Status Call(const MethodDescriptor* method, const Message& request, Message* response,
              const CallOptions& options = {});
  // Comes back once the server has begun to answer (within default_deadline) and it is a stream.
  Result<std::unique_ptr<ClientStream>> OpenStream(const MethodDescriptor* method,
                                                   const Message& request,
                                                   const CallOptions& options = {});

 private:
  RpcClient(RpcClientOptions options, Endpoint endpoint, std::string token,
            std::shared_ptr<TlsContext> tls);

  std::string RequestHead(const ClientExchange& exchange) const;
  Result<ClientExchange> Prepare(const MethodDescriptor& method, const Message& request,
                                 const CallOptions& options) const;
  // Each ends one attempt, or leads on to the next step of it.
  Status Acquire(ClientExchange& exchange, bool fresh);
  Verdict Send(ClientExchange& exchange);
  Verdict TryUnary(ClientExchange& exchange, bool fresh, Message* response);
  Verdict TryStream(ClientExchange& exchange, bool* is_stream);
  // Until `attempt` has done it, or is hopeless, or there are no more attempts, or no more time.
  Status Repeat(const ClientExchange& exchange, const std::function<Verdict()>& attempt);
  std::chrono::milliseconds PauseAfter(uint32_t attempts);

  const RpcClientOptions options_;
  const Endpoint endpoint_;
  const std::string token_;
  const std::shared_ptr<TlsContext> tls_;
  const std::string server_name_;
  std::unique_ptr<ClientLink> idle_;  // after a whole answer
  std::minstd_rand random_;           // for pauses
};

}  // namespace tidemark::rpc
