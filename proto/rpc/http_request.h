// One HTTP/1.1 request out of the bytes of a connection: the head first, so that it can be judged
// before a body is read, then the body. Pure; the bytes are hostile.
#pragma once

#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "proto/rpc/chunked_body.h"
#include "replication/base/status.h"

namespace tidemark::rpc {

class HttpRequest {
 public:
  explicit HttpRequest(size_t header_bytes_max);

  // What is usable of `input` is taken from its front; what follows the request stays. After
  // kHead, accessors tell of the head; Put goes on with the body, once it is called again.
  enum class Step : uint8_t { kMore, kHead, kDone };
  // kUsage: the head is longer than allowed. kCorruption: not HTTP/1. Afterwards it is of no use.
  Result<Step> Put(std::string* input);

  std::string_view method() const;
  std::string_view target() const;
  std::string_view path() const;                                   // the target without its query
  std::optional<std::string> Header(std::string_view name) const;  // the first of that name
  bool http11() const;
  bool keep_alive() const;
  bool expects_continue() const;
  std::optional<uint64_t> content_length() const;  // nullopt: chunked, or there is no body
  bool done() const { return done_; }
  size_t body_bytes() const { return body_.size(); }  // so far
  std::string TakeBody() { return std::move(body_); }

 private:
  Result<Step> PutHead(std::string* input);
  Result<Step> PutBody(std::string* input);

  boost::beast::http::request_parser<boost::beast::http::empty_body> parser_;  // of the head
  std::optional<ChunkedBody> chunks_;
  uint64_t left_ = 0;  // of a body with a length
  std::string body_;
  bool head_ = false;
  bool done_ = false;
};

}  // namespace tidemark::rpc
