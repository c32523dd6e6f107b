#include "proto/rpc/client_exchange.h"

#include <algorithm>
#include <utility>

namespace tidemark::rpc {
namespace {

using Outcome = ClientLink::Outcome;

constexpr const char* kTlsHint =
    "it may want TLS: leave out --server-plaintext, or name its authority (--server-ca-file)";

}  // namespace

std::string TimeText(std::chrono::milliseconds time) {
  const auto ms = time.count();
  if (ms < 1000) return std::to_string(ms) + " ms";
  if (ms % 60'000 == 0) return std::to_string(ms / 60'000) + " min";
  const auto tenths = ms / 100 % 10;
  return std::to_string(ms / 1000) + (tenths ? "." + std::to_string(tenths) : "") + " s";
}

void ClientExchange::Restart(std::unique_ptr<ClientLink> fresh_link, bool is_reused) {
  link = std::move(fresh_link);
  reused = is_reused;
  sent = false;
  reader = HttpResponseReader();
  input.clear();
  body.clear();
}

Verdict ClientExchange::Ended(Outcome outcome) const {
  const std::string call = context.where + " to answer " + context.method;
  switch (outcome) {
    case Outcome::kInterrupted:
      return {Status(Code::kInterrupted, "interrupted while waiting for " + call)};
    case Outcome::kTimedOut:
      return {Status(Code::kSourceUnavailable,
                     context.where + " did not answer " + context.method +
                         (allowed.count() > 0 ? " within " + TimeText(allowed) : " in time"),
                     in_tls || reader.started() ? "allow more time, or ask for less at once"
                                                : "is it the server's RPC port?")};
    default: {
      const Status& broken = link->broken();
      const bool may_want_tls = !in_tls && !reused && !reader.started();
      return {Status(broken.code(), broken.message(), may_want_tls ? kTlsHint : broken.hint()),
              broken.code() == Code::kSourceUnavailable};
    }
  }
}

Verdict ClientExchange::Misspoken(const Status& why) const {
  if (why.code() == Code::kTruncated) return CutShort();
  if (why.code() == Code::kCorruption)
    return {Status(Code::kCorruption, context.where + ": " + why.message(),
                   "is it the address of a tidemarkd's RPC?")};
  const bool wants_tls = why.message().find("TLS") != std::string::npos;
  return {Status(Code::kSourceRefused,
                 context.where + " is " + why.message() + ", and does not speak " +
                     (wants_tls ? "plain HTTP" : "HTTP"),
                 wants_tls ? kTlsHint : "name the port of tidemarkd's RPC")};
}

Verdict ClientExchange::CutShort() const {
  if (reader.started())
    return {Status(Code::kSourceUnavailable, "the connection to " + context.where +
                                                 " ended inside its answer to " + context.method),
            true};
  return {Status(Code::kSourceUnavailable,
                 context.where + " closed the connection without an answer to " + context.method,
                 in_tls || reused ? "is it being stopped?" : kTlsHint),
          true};
}

Verdict ClientExchange::ReadOnce(Clock::time_point until) {
  Patience shorter = patience;
  shorter.until = std::min(until, patience.until);
  input.clear();
  const Outcome outcome = link->Read(&input, shorter);
  if (outcome != Outcome::kDone && outcome != Outcome::kEnd) return Ended(outcome);
  const Status fed = outcome == Outcome::kEnd ? reader.FeedEnd() : reader.Feed(input, &body);
  return fed.ok() ? Verdict() : Misspoken(fed);
}

Verdict ClientExchange::ReadHead(Clock::time_point until) {
  while (!reader.head_done()) {
    if (Verdict read = ReadOnce(until); !read.status.ok()) return read;
  }
  return {};
}

Verdict ClientExchange::ReadBody() {
  if (Status length = CheckBodyLength(reader.head(), context); !length.ok()) return {length};
  const uint64_t bytes_max = BodyBytesMax(reader.head(), context);
  while (!reader.done() && body.size() <= bytes_max) {
    Verdict read = ReadOnce(patience.until);
    if (read.status.ok()) continue;
    // Whatever is there of an error says more than that it broke off, save that we were told to
    // stop.
    if (reader.head().status == 200 || read.status.code() == Code::kInterrupted) return read;
    return {};
  }
  if (body.size() <= bytes_max) return {};
  if (reader.head().status == 200) return {TooLong(context)};
  body.resize(bytes_max);
  return {};
}

}  // namespace tidemark::rpc
