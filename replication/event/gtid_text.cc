#include "replication/event/gtid_text.h"

namespace tidemark {
namespace {

constexpr size_t kExcerptBytesMax = 32;

bool IsBlank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsTagStart(char c) { return (c >= 'a' && c <= 'z') || c == '_'; }
char Folded(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

int HexDigit(char c) {
  c = Folded(c);
  if (IsDigit(c)) return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

}  // namespace

void GtidText::SkipBlanks() {
  while (!AtEnd() && IsBlank(text_[position_])) ++position_;
}

bool GtidText::Consume(char wanted) {
  SkipBlanks();
  if (AtEnd() || text_[position_] != wanted) return false;
  ++position_;
  return true;
}

std::optional<Uuid> GtidText::TakeUuid() {
  SkipBlanks();
  Uuid uuid;
  size_t at = position_;
  for (size_t i = 0; i < uuid.bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) {
      if (at >= text_.size() || text_[at++] != '-') return std::nullopt;
    }
    if (text_.size() - at < 2) return std::nullopt;
    const int high = HexDigit(text_[at]);
    const int low = HexDigit(text_[at + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    uuid.bytes[i] = static_cast<uint8_t>(high << 4 | low);
    at += 2;
  }
  position_ = at;
  return uuid;
}

std::optional<std::string> GtidText::TakeTag() {
  SkipBlanks();
  if (!IsTagStart(Folded(Peek()))) return std::nullopt;
  size_t end = position_;
  while (end < text_.size() && (IsTagStart(Folded(text_[end])) || IsDigit(text_[end]))) ++end;
  if (end - position_ > kGtidTagBytesMax) return std::nullopt;
  std::string tag(text_.substr(position_, end - position_));
  for (char& c : tag) c = Folded(c);
  position_ = end;
  return tag;
}

std::optional<int64_t> GtidText::TakeNumber() {
  SkipBlanks();
  if (!IsDigit(Peek())) return std::nullopt;
  size_t at = position_;
  int64_t value = 0;
  while (at < text_.size() && IsDigit(text_[at])) {
    const int digit = text_[at++] - '0';
    if (value > (kGnoMax - digit) / 10) return std::nullopt;
    value = value * 10 + digit;
  }
  if (text_[position_] == '0' && at - position_ > 1) return std::nullopt;
  position_ = at;
  return value;
}

Status GtidText::Expected(const std::string& token) const {
  std::string message = std::string("malformed ") + what_ + ": expected " + token;
  message += " at character " + std::to_string(position_ + 1);
  if (AtEnd()) return Status(Code::kUsage, message + ", found the end");
  std::string excerpt(text_.substr(position_, kExcerptBytesMax));
  for (char& c : excerpt) {
    if (c < ' ' || c > '~') c = '?';
  }
  return Status(Code::kUsage, message + ", found '" + excerpt + "'");
}

bool IsCanonicalTag(std::string_view tag) {
  if (tag.empty() || tag.size() > kGtidTagBytesMax || !IsTagStart(tag[0])) return false;
  for (char c : tag) {
    if (!IsTagStart(c) && !IsDigit(c)) return false;
  }
  return true;
}

}  // namespace tidemark
