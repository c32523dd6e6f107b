#include "proto/rpc/http_response.h"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <cctype>

namespace tidemark::rpc {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;
using boost::beast::string_view;

constexpr std::string_view kHttpBegin = "HTTP/1.";
constexpr size_t kForeignBytesShownMax = 8;

char Lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), Lower);
  return lower;
}

std::string Hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const char c : bytes.substr(0, kForeignBytesShownMax)) {
    const auto byte = static_cast<unsigned char>(c);
    if (!hex.empty()) hex += ' ';
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

}  // namespace

std::string_view HttpHead::Field(std::string_view lower_case_name) const {
  for (const auto& [name, value] : fields) {
    if (name == lower_case_name) return value;
  }
  return {};
}

std::string HttpHead::MediaType() const {
  std::string_view type = Field("content-type");
  type = type.substr(0, type.find(';'));
  while (!type.empty() && type.back() == ' ') type.remove_suffix(1);
  return LowerCase(type);
}

std::string ForeignProtocol(std::string_view bytes) {
  if (bytes.substr(0, kHttpBegin.size()) == kHttpBegin.substr(0, bytes.size())) return {};
  // A TLS record: alert or handshake, of version 3.x.
  if (bytes.size() >= 2 && (bytes[0] == 0x15 || bytes[0] == 0x16) && bytes[1] == 0x03)
    return "a TLS port";
  // A MySQL packet number 0: length in three bytes, sequence 0, protocol 10 or an error.
  if (bytes.size() >= 5 && bytes[3] == 0 && (bytes[4] == 0x0a || bytes[4] == '\xff'))
    return "a MySQL server";
  if (bytes.starts_with("SSH-")) return "an SSH server";
  // An HTTP/2 SETTINGS frame, which its servers begin with.
  if (bytes.size() >= 9 && bytes[0] == 0 && bytes[3] == 4) return "an HTTP/2-only server";
  return "a server of another protocol (it begins with " + Hex(bytes) + ")";
}

// Beast's parser, for the head alone: its decoder of chunks aborts on some trailers
// (chunked_body.h).
class HttpResponseReader::Parser final : public http::basic_parser<false> {
 public:
  Parser() {
    eager(false);
    header_limit(kHttpHeadBytesMax);
    body_limit(boost::none);  // the caller's, who takes it bit by bit
  }
  HttpHead head;

 private:
  void on_request_impl(http::verb, string_view, string_view, int, error_code&) override {}
  void on_response_impl(int code, string_view, int, error_code&) override { head.status = code; }
  void on_field_impl(http::field, string_view name, string_view value, error_code& ec) override {
    if (head.fields.size() >= kHttpFieldsMax) {
      ec = http::error::header_limit;
      return;
    }
    head.fields.emplace_back(LowerCase({name.data(), name.size()}),
                             std::string(value.data(), value.size()));
  }
  void on_header_impl(error_code&) override { head.keep_alive = keep_alive(); }
  void on_body_init_impl(const boost::optional<uint64_t>&, error_code&) override {}
  size_t on_body_impl(string_view bytes, error_code&) override { return bytes.size(); }
  void on_chunk_header_impl(uint64_t, string_view, error_code&) override {}
  size_t on_chunk_body_impl(uint64_t, string_view bytes, error_code&) override {
    return bytes.size();
  }
  void on_finish_impl(error_code&) override {}
};

HttpResponseReader::HttpResponseReader() : parser_(std::make_unique<Parser>()) {}
HttpResponseReader::~HttpResponseReader() = default;
HttpResponseReader::HttpResponseReader(HttpResponseReader&& other) noexcept = default;
HttpResponseReader& HttpResponseReader::operator=(HttpResponseReader&& other) noexcept = default;

bool HttpResponseReader::started() const { return started_; }

Status HttpResponseReader::Feed(std::string_view bytes, std::string* body) {
  if (!failed_.ok()) return failed_;
  if (bytes.empty()) return OkStatus();
  started_ = true;
  pending_.append(bytes);
  if (!recognized_) {
    const std::string foreign = ForeignProtocol(pending_);
    if (!foreign.empty()) return failed_ = Status(Code::kSourceRefused, foreign);
    recognized_ = pending_.size() >= kHttpBegin.size();
    if (!recognized_) return OkStatus();
  }
  while (failed_.ok() && !head_done_ && !pending_.empty()) {
    const size_t before = pending_.size();
    failed_ = AdvanceHead();
    if (pending_.size() == before) break;  // it must see more
  }
  if (failed_.ok() && head_done_ && !done_) failed_ = AdvanceBody(body);
  return failed_;
}

Status HttpResponseReader::AdvanceHead() {
  error_code error;
  const size_t taken = parser_->put(boost::asio::buffer(pending_), error);
  pending_.erase(0, taken);
  if (error && error != http::error::need_more)
    return Status(Code::kCorruption, "its HTTP answer is malformed: " + error.message());
  if (parser_->is_header_done()) return TakeHead();
  // A header line must be seen whole, and so is kept: not without end.
  if (pending_.size() > kHttpHeadBytesMax)
    return Status(Code::kCorruption, "its HTTP answer is malformed: a line without an end");
  return OkStatus();
}

Status HttpResponseReader::TakeHead() {
  const HttpHead& head = parser_->head;
  if (head.status == 101)  // never asked for
    return Status(Code::kCorruption, "it switches to another protocol, unasked");
  if (head.status / 100 == 1) {
    if (++informational_ > kInformationalAnswersMax)
      return Status(Code::kCorruption, "it sends informational answers without end");
    parser_ = std::make_unique<Parser>();
    return OkStatus();
  }
  head_done_ = true;
  if (parser_->chunked()) {
    chunks_.emplace();
  } else if (!parser_->need_eof()) {
    const auto length = parser_->content_length();
    left_ = length ? *length : 0;
  }
  done_ = parser_->is_done() || left_ == 0u;
  head_ = std::move(parser_->head);
  return OkStatus();
}

Status HttpResponseReader::AdvanceBody(std::string* body) {
  if (chunks_) {
    const Result<bool> whole = chunks_->Put(&pending_, body);
    if (!whole.ok())
      return Status(Code::kCorruption, "its HTTP answer is malformed: " + whole.error().message());
    done_ = *whole;
    return OkStatus();
  }
  const size_t size =
      static_cast<size_t>(std::min<uint64_t>(left_.value_or(UINT64_MAX), pending_.size()));
  body->append(pending_, 0, size);
  pending_.erase(0, size);
  if (left_) *left_ -= size;
  done_ = left_ == 0u;
  return OkStatus();
}

Status HttpResponseReader::FeedEnd() {
  if (!failed_.ok()) return failed_;
  if (done_) return OkStatus();
  const bool ends_with_connection = head_done_ && !chunks_ && !left_;
  if (!ends_with_connection)
    return failed_ = Status(Code::kTruncated, started_ ? "the connection ended inside the answer"
                                                       : "the connection ended before an answer");
  done_ = true;
  head_.keep_alive = false;
  return OkStatus();
}

}  // namespace tidemark::rpc
