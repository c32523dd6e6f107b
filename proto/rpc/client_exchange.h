// One HTTP exchange of a client on one connection: the request sent, the answer read bit by bit,
// and what went wrong said in words. A part of rpc_client.{h,cc}; one thread.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "proto/rpc/client_link.h"
#include "proto/rpc/connect_answer.h"
#include "proto/rpc/http_response.h"

namespace tidemark::rpc {

struct ClientExchange {
  using Clock = std::chrono::steady_clock;

  // The call, the same in all its attempts.
  AnswerContext context;
  bool is_stream = false;
  bool idempotent = false;
  bool in_tls = false;
  std::string request;  // the HTTP body
  Patience patience;
  std::chrono::milliseconds allowed{
      0};  // what `patience.until` came from, for messages; 0: nothing

  // This attempt.
  std::unique_ptr<ClientLink> link;
  bool reused = false;  // the link had a call before
  bool sent = false;    // the server may have acted upon it
  HttpResponseReader reader;
  std::string input;  // just read
  std::string body;   // of the answer, not yet taken

  void Restart(std::unique_ptr<ClientLink> fresh_link, bool is_reused);
  // Reads once, into the reader. `until` cuts the call's own patience short.
  Verdict ReadOnce(Clock::time_point until);
  // Until the head is there.
  Verdict ReadHead(Clock::time_point until);
  // Until the body is there, or as much of it as can be of use; see BodyBytesMax.
  Verdict ReadBody();

  // What it means for the call: that the link's operation ended so, that what came is not HTTP,
  // that nothing more comes.
  Verdict Ended(ClientLink::Outcome outcome) const;
  Verdict Misspoken(const Status& why) const;
  Verdict CutShort() const;
};

// "1.5 s", "2 min"
std::string TimeText(std::chrono::milliseconds time);

}  // namespace tidemark::rpc
