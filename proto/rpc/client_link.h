// One connection of a client: TCP or unix socket, in TLS or not, blocking for its caller but never
// longer than he allows: each wait ends at a deadline, and several times a second he is asked
// whether to give up. Knows nothing of HTTP.
//
// One thread at a time. A link whose operation failed is of no more use. TCP keep-alive is on, so
// that a peer that vanished ends a wait without a deadline within about a minute.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "proto/rpc/client_tls.h"
#include "proto/rpc/rpc_client_options.h"
#include "replication/base/status.h"

namespace tidemark::rpc {

// Until when, and unless what.
struct Patience {
  std::chrono::steady_clock::time_point until = std::chrono::steady_clock::time_point::max();
  std::function<bool()> interrupted;  // may be empty; asked about ten times a second
};

class ClientLink {
 public:
  // How an operation ended.
  enum class Outcome : uint8_t {
    kDone,
    kEnd,          // Read: the peer has closed, in an orderly way
    kTimedOut,     // Patience::until has passed
    kInterrupted,  // Patience::interrupted said so
    kBroken,       // see broken()
  };

  // `tls` null: plain text. `server_name`: what the certificate must be for. Errors:
  // kSourceUnavailable (worth another try), kSourceRefused (TLS says no), kInterrupted.
  static Result<std::unique_ptr<ClientLink>> Open(const Endpoint& endpoint,
                                                  const std::shared_ptr<TlsContext>& tls,
                                                  const std::string& server_name,
                                                  const Patience& patience);
  ~ClientLink();
  ClientLink(const ClientLink&) = delete;
  ClientLink& operator=(const ClientLink&) = delete;

  Outcome Write(std::string_view bytes, const Patience& patience);
  // What is there, at least one byte, appended to *bytes.
  Outcome Read(std::string* bytes, const Patience& patience);
  // Nothing has come since the last answer, not even the end: it may carry another call.
  bool IsQuiet();
  // After kBroken: kSourceUnavailable, or kSourceRefused if the peer refused us in TLS.
  const Status& broken() const { return broken_; }

 private:
  struct State;
  explicit ClientLink(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
  Status broken_;
};

// Sleeps, within the same patience. kDone, kTimedOut or kInterrupted.
ClientLink::Outcome Pause(std::chrono::milliseconds time, const Patience& patience);

}  // namespace tidemark::rpc
