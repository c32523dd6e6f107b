// Which methods a server answers, and with what: the seam between transport and services. Generic
// over protobuf's service descriptors: a new method takes a handler here and no transport code.
//
// Handlers run on the server's worker threads, several at once, and may block for as long as a disk
// does. Filled before the server starts, read-only from then on.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "replication/base/status.h"

namespace tidemark::rpc {

using google::protobuf::Message;

// What a caller may do; each includes those before it.
enum class Role : uint8_t { kNone = 0, kReader = 1, kRestorer = 2, kAdmin = 3 };

struct CallContext {
  std::string method;    // "tidemark.v1.ArchiveService/GetStatus"
  std::string peer;      // "127.0.0.1:40123", "unix"
  std::string identity;  // the token's or certificate's name, or "anonymous"
  Role role = Role::kNone;
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  // True once the client has gone, the deadline has passed, or the server stops: give up with
  // kInterrupted.
  std::function<bool()> cancelled = [] { return false; };
};

// A server-streaming answer, asked for one message at a time, as fast as the client takes them. One
// thread at a time, not always the same; destroyed when the stream has ended for any reason.
class MessageStream {
 public:
  enum class State : uint8_t {
    kMessage,     // `message` is filled
    kNothingYet,  // a bounded amount of work was done: ask again
    kWaiting,     // nothing until something happens to topic(): ask again after that (or after a
                  // while)
    kEnd,
  };
  virtual ~MessageStream() = default;
  virtual Result<State> Next(Message* message) = 0;
  virtual std::string topic() const { return {}; }  // see RpcServer::Notify
};

class ServiceRegistry {
 public:
  using Unary =
      std::function<Status(const CallContext&, const Message& request, Message* response)>;
  using Stream = std::function<Result<std::unique_ptr<MessageStream>>(const CallContext&,
                                                                      const Message& request)>;
  struct Method {
    const google::protobuf::MethodDescriptor* descriptor = nullptr;
    Role role = Role::kReader;  // the least that may call it
    bool audited = false;       // every call goes to the audit log
    Unary unary;                // exactly one of the two
    Stream stream;
  };

  // `method` must exist, be unary (Stream: server-streaming) and not be added twice: anything else
  // is a bug.
  void AddUnary(const google::protobuf::MethodDescriptor* method, Role role, bool audited,
                Unary handler);
  void AddStream(const google::protobuf::MethodDescriptor* method, Role role, bool audited,
                 Stream handler);
  // By path without the leading slash; nullptr if there is none.
  const Method* Find(std::string_view path) const;

 private:
  std::map<std::string, Method, std::less<>> methods_;
};

// The same with the messages' own types:
//   Unary<GetStatusRequest, GetStatusResponse>([](const CallContext&, const GetStatusRequest&,
//                                                 GetStatusResponse*) { … })
template <typename Request, typename Response, typename Handler>
ServiceRegistry::Unary Unary(Handler handler) {
  return [handler](const CallContext& context, const Message& request, Message* response) {
    return handler(context, static_cast<const Request&>(request), static_cast<Response*>(response));
  };
}

}  // namespace tidemark::rpc
