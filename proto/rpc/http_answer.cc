#include "proto/rpc/http_answer.h"

#include <boost/beast/http/status.hpp>
#include <cstdio>
#include <ostream>

namespace tidemark::rpc {
namespace {

std::string StatusLine(int status) {
  const auto reason = boost::beast::http::obsolete_reason(
      boost::beast::http::int_to_status(static_cast<unsigned>(status)));
  std::string line = "HTTP/1.1 " + std::to_string(status) + " ";
  line.append(reason.data(), reason.size());
  return line + "\r\n";
}

std::string Head(int status, std::string_view content_type, std::string_view more_headers,
                 bool keep_alive) {
  std::string head = StatusLine(status);
  head.append("Content-Type: ").append(content_type).append("\r\n");
  head.append("X-Content-Type-Options: nosniff\r\n");
  head.append(more_headers);
  head.append(keep_alive ? "" : "Connection: close\r\n");
  return head;
}

}  // namespace

std::string AnswerBytes(const HttpAnswer& answer, bool keep_alive, bool head_only) {
  std::string bytes = Head(answer.status, answer.content_type, answer.more_headers, keep_alive);
  bytes += "Content-Length: " + std::to_string(answer.body.size()) + "\r\n\r\n";
  if (!head_only) bytes += answer.body;
  return bytes;
}

std::string StreamHead(std::string_view content_type, std::string_view more_headers, bool chunked,
                       bool keep_alive) {
  std::string bytes = Head(200, content_type, more_headers, keep_alive && chunked);
  bytes += chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n";
  return bytes;
}

std::string Chunk(std::string_view bytes) {
  if (bytes.empty()) return {};
  char size[24];
  const int digits = std::snprintf(size, sizeof(size), "%zx\r\n", bytes.size());
  std::string chunk;
  chunk.reserve(bytes.size() + static_cast<size_t>(digits) + 2);
  chunk.append(size, static_cast<size_t>(digits)).append(bytes).append("\r\n");
  return chunk;
}

HttpAnswer ErrorAnswer(const RpcError& error, std::optional<int> http_status) {
  HttpAnswer answer;
  answer.status = http_status.value_or(HttpStatusOf(error.code));
  if (answer.status == 401) answer.more_headers = "WWW-Authenticate: Bearer\r\n";
  answer.body = EncodeErrorJson(error);
  return answer;
}

}  // namespace tidemark::rpc
