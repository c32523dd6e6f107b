// HTTP/1.1 answers as bytes. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "proto/rpc/rpc_error.h"

namespace tidemark::rpc {

struct HttpAnswer {
  int status = 200;
  std::string content_type = "application/json";
  std::string more_headers;  // whole lines, each with its CRLF
  std::string body;
};

// `keep_alive` false: says that the connection is about to be closed. `head_only`: answers HEAD.
std::string AnswerBytes(const HttpAnswer& answer, bool keep_alive, bool head_only = false);
// Of a body in chunks, or, for HTTP/1.0, of one that ends with the connection.
std::string StreamHead(std::string_view content_type, std::string_view more_headers, bool chunked,
                       bool keep_alive);
// One chunk. Empty `bytes` would end the body: they give nothing.
std::string Chunk(std::string_view bytes);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

// Connect's answer to a unary call that failed. `http_status`: another than the code's own.
HttpAnswer ErrorAnswer(const RpcError& error, std::optional<int> http_status = std::nullopt);

}  // namespace tidemark::rpc
