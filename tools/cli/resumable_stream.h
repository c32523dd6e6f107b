// A server's stream that goes on where it broke: the call is made again, asking for what has not
// come yet, until nothing has come for kResumePatience. One thread at a time, the client's.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "proto/rpc/rpc_client.h"

namespace tidemark::cli {

// Long enough for a daemon to be started again.
inline constexpr std::chrono::seconds kResumePatience{60};
inline constexpr std::chrono::milliseconds kResumePause{500};
// A server reads through an index to what it sends next; longer, and the connection is dead.
inline constexpr std::chrono::seconds kSilenceMax{300};

using Interruption = std::function<bool()>;  // asked often; true: give up with kInterrupted

class ResumableStream {
 public:
  // What to ask for now. Called for each call; whoever reads the stream learns by it that a new one
  // begins.
  using Request = std::function<std::unique_ptr<rpc::Message>()>;

  // `client` outlives the stream.
  ResumableStream(rpc::RpcClient& client, const rpc::MethodDescriptor* method, Request request,
                  Interruption interrupted, std::chrono::milliseconds patience = kResumePatience)
      : client_(client),
        method_(method),
        request_(std::move(request)),
        interrupted_(std::move(interrupted)),
        patience_(patience) {}

  // As ClientStream::Next. A server that cannot be reached at all is an error at once.
  Result<bool> Next(rpc::Message* message);

 private:
  Result<bool> TryNext(rpc::Message* message);
  Status Pause() const;

  rpc::RpcClient& client_;
  const rpc::MethodDescriptor* const method_;
  const Request request_;
  const Interruption interrupted_;
  const std::chrono::milliseconds patience_;
  std::unique_ptr<rpc::ClientStream> stream_;
  bool begun_ = false;  // a call was answered
};

}  // namespace tidemark::cli
