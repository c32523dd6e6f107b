// The client's half of HTTP/1.1: bytes of a connection in, one response's head and body out. Pure:
// no socket, no clock. Knows nothing of RPC.
//
// Chunked, counted and read-to-the-end bodies are all taken; 1xx answers before the real one are
// skipped. Memory: the head (http_head_bytes_max) and what the caller leaves in `body`.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proto/rpc/chunked_body.h"
#include "replication/base/status.h"

namespace tidemark::rpc {

inline constexpr uint32_t kHttpHeadBytesMax = 64 << 10;
inline constexpr uint32_t kHttpFieldsMax = 200;
inline constexpr uint32_t kInformationalAnswersMax = 16;

struct HttpHead {
  int status = 0;
  bool keep_alive = false;
  std::vector<std::pair<std::string, std::string>> fields;  // names in lower case

  // The first of that name; empty if there is none.
  std::string_view Field(std::string_view lower_case_name) const;
  // Content-Type without its parameters, in lower case.
  std::string MediaType() const;
};

// What is it that answers so, if not HTTP? A sentence's second half ("a MySQL server", "a TLS
// port", …); empty if the bytes are, or may still become, an HTTP/1 answer.
std::string ForeignProtocol(std::string_view first_bytes);

class HttpResponseReader {
 public:
  HttpResponseReader();
  ~HttpResponseReader();
  HttpResponseReader(HttpResponseReader&& other) noexcept;
  HttpResponseReader& operator=(HttpResponseReader&& other) noexcept;

  // The next bytes of the connection. Body bytes are appended to *body as they come (also in front
  // of an error). Errors: kSourceRefused if the peer does not speak HTTP/1, kCorruption if it does
  // so badly or beyond a limit; final.
  Status Feed(std::string_view bytes, std::string* body);
  // The peer sent no more. kTruncated if that is in the middle of something.
  Status FeedEnd();

  bool started() const;  // any byte has come
  bool head_done() const { return head_done_; }
  bool done() const { return done_; }
  const HttpHead& head() const { return head_; }
  // The connection may carry another call: the answer is whole, nothing followed it, and the peer
  // means to go on.
  bool reusable() const { return done_ && pending_.empty() && head_.keep_alive; }

 private:
  class Parser;  // of heads

  Status AdvanceHead();
  Status TakeHead();
  Status AdvanceBody(std::string* body);

  std::unique_ptr<Parser> parser_;
  HttpHead head_;
  std::string pending_;  // bytes that the parser could not yet take
  std::optional<ChunkedBody> chunks_;
  std::optional<uint64_t> left_;  // of a body with a length; neither: it ends with the connection
  uint32_t informational_ = 0;
  bool started_ = false;
  bool recognized_ = false;  // it is HTTP/1
  bool head_done_ = false;
  bool done_ = false;
  Status failed_;
};

}  // namespace tidemark::rpc
