#include "replication/event/gtid.h"

#include "replication/event/gtid_text.h"

namespace tidemark {

Result<Uuid> Uuid::Parse(std::string_view text) {
  GtidText reader(text, "UUID");
  std::optional<Uuid> uuid = reader.TakeUuid();
  if (!uuid) return reader.Expected("8-4-4-4-12 hexadecimal digits");
  reader.SkipBlanks();
  if (!reader.AtEnd()) return reader.Expected("the end");
  return *uuid;
}

std::string Uuid::ToString() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(36);
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += kDigits[bytes[i] >> 4];
    text += kDigits[bytes[i] & 0xF];
  }
  return text;
}

std::string Tsid::ToString() const {
  std::string text = uuid.ToString();
  if (!tag.empty()) (text += ':') += tag;
  return text;
}

Result<Gtid> Gtid::Parse(std::string_view text) {
  GtidText reader(text, "GTID");
  std::optional<Uuid> uuid = reader.TakeUuid();
  if (!uuid) return reader.Expected("a UUID");
  if (!reader.Consume(':')) return reader.Expected("':'");
  Gtid gtid;
  gtid.tsid.uuid = *uuid;
  if (std::optional<std::string> tag = reader.TakeTag()) {
    gtid.tsid.tag = *std::move(tag);
    if (!reader.Consume(':')) return reader.Expected("':' behind the tag");
  }
  std::optional<int64_t> gno = reader.TakeNumber();
  if (!gno || *gno == 0) return reader.Expected("a number from 1 to 2^63-2");
  gtid.gno = *gno;
  reader.SkipBlanks();
  if (!reader.AtEnd()) return reader.Expected("the end");
  return gtid;
}

std::string Gtid::ToString() const { return tsid.ToString() + ':' + std::to_string(gno); }

}  // namespace tidemark
