#include "proto/rpc/http_request.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/rfc7230.hpp>

namespace tidemark::rpc {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;

constexpr size_t kHeaderBytesMax = 64 << 10;

std::string_view View(boost::beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

HttpRequest::HttpRequest(size_t header_bytes_max) {
  TM_CHECK(header_bytes_max <= kHeaderBytesMax);
  parser_.header_limit(static_cast<uint32_t>(header_bytes_max));
  parser_.body_limit(boost::none);  // whoever reads the body watches body_bytes()
  parser_.eager(false);             // the head, and no more
}

Result<HttpRequest::Step> HttpRequest::Put(std::string* input) {
  if (done_) return Step::kDone;
  return head_ ? PutBody(input) : PutHead(input);
}

Result<HttpRequest::Step> HttpRequest::PutHead(std::string* input) {
  if (input->empty()) return Step::kMore;
  error_code error;
  const size_t taken = parser_.put(boost::asio::buffer(*input), error);
  input->erase(0, taken);
  if (error == http::error::header_limit)
    return Status(Code::kUsage, "the head of the request is too long");
  if (error && error != http::error::need_more)
    return Status(Code::kCorruption, "not HTTP/1.1: " + error.message());
  if (!parser_.is_header_done()) return Step::kMore;
  head_ = true;
  const auto& fields = parser_.get();
  // Whatever else it says about its body, another server may understand otherwise.
  const auto encodings = fields.count(http::field::transfer_encoding);
  const bool chunked = encodings == 1 && http11() &&
                       boost::beast::iequals(fields[http::field::transfer_encoding], "chunked");
  if (encodings > 0 && !chunked)
    return Status(Code::kCorruption, "not HTTP/1.1: a Transfer-Encoding other than chunked");
  if (chunked) chunks_.emplace();
  left_ = content_length().value_or(0);
  done_ = !chunked && left_ == 0;
  return Step::kHead;
}

Result<HttpRequest::Step> HttpRequest::PutBody(std::string* input) {
  if (chunks_) {
    TM_ASSIGN_OR_RETURN(done_, chunks_->Put(input, &body_));
  } else {
    const size_t size = static_cast<size_t>(std::min<uint64_t>(left_, input->size()));
    body_.append(*input, 0, size);
    input->erase(0, size);
    left_ -= size;
    done_ = left_ == 0;
  }
  return done_ ? Step::kDone : Step::kMore;
}

std::string_view HttpRequest::method() const { return View(parser_.get().method_string()); }
std::string_view HttpRequest::target() const { return View(parser_.get().target()); }

std::string_view HttpRequest::path() const {
  const std::string_view whole = target();
  return whole.substr(0, whole.find('?'));
}

std::optional<std::string> HttpRequest::Header(std::string_view name) const {
  const auto& fields = parser_.get();
  const auto at = fields.find(boost::beast::string_view(name.data(), name.size()));
  if (at == fields.end()) return std::nullopt;
  return std::string(View(at->value()));
}

bool HttpRequest::http11() const { return parser_.get().version() >= 11; }
bool HttpRequest::keep_alive() const { return parser_.keep_alive(); }

bool HttpRequest::expects_continue() const {
  return http11() && boost::beast::iequals(parser_.get()[http::field::expect], "100-continue");
}

std::optional<uint64_t> HttpRequest::content_length() const {
  const auto length = parser_.content_length();
  if (!length) return std::nullopt;
  return *length;
}

}  // namespace tidemark::rpc
