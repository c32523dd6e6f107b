#include "pitr/target.h"

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <optional>

namespace tidemark {
namespace {

constexpr int64_t kSecond = 1'000'000;
constexpr int kYearFirst = 1970;  // no binary log is older than MySQL
constexpr size_t kTextBytesMax = 64;

// What was written, field by field; nothing of it is judged by a zone yet.
struct TimeFields {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  int64_t microseconds = 0;
  std::optional<int> zone_minutes;  // east of UTC
};

// Takes characters of a text from the left; nothing is taken when a method returns false.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}

  bool AtEnd() const { return text_.empty(); }
  bool Take(char wanted) {
    if (text_.empty() || text_.front() != wanted) return false;
    text_.remove_prefix(1);
    return true;
  }
  // Exactly `digits` digits.
  bool Number(size_t digits, int* value) {
    if (text_.size() < digits) return false;
    int number = 0;
    for (char c : text_.substr(0, digits)) {
      if (c < '0' || c > '9') return false;
      number = number * 10 + (c - '0');
    }
    text_.remove_prefix(digits);
    *value = number;
    return true;
  }
  bool AtDigit() const { return !text_.empty() && text_.front() >= '0' && text_.front() <= '9'; }

 private:
  std::string_view text_;
};

std::string Printable(std::string_view text) {
  std::string shown;
  for (char c : text.substr(0, kTextBytesMax)) shown += c >= 0x20 && c < 0x7F ? c : '?';
  return text.size() > kTextBytesMax ? shown + "…" : shown;
}

Status Malformed(std::string_view text, const std::string& what) {
  return Status(Code::kUsage, "'" + Printable(text) + "' is not a time: " + what,
                "write it like 2026-11-21T14:03:07Z or 2026-11-21T14:03:07.123456+02:00");
}

bool ParseDateAndClock(Cursor& cursor, TimeFields* fields) {
  return cursor.Number(4, &fields->year) && cursor.Take('-') && cursor.Number(2, &fields->month) &&
         cursor.Take('-') && cursor.Number(2, &fields->day) &&
         (cursor.Take('T') || cursor.Take('t') || cursor.Take(' ')) &&
         cursor.Number(2, &fields->hour) && cursor.Take(':') && cursor.Number(2, &fields->minute) &&
         cursor.Take(':') && cursor.Number(2, &fields->second);
}

// One to six digits behind a point.
bool ParseFraction(Cursor& cursor, TimeFields* fields) {
  int64_t unit = kSecond / 10;
  bool any = false;
  for (int digit = 0; cursor.AtDigit(); unit /= 10, any = true) {
    if (unit == 0) return false;
    (void)cursor.Number(1, &digit);
    fields->microseconds += digit * unit;
  }
  return any;
}

bool ParseZone(Cursor& cursor, TimeFields* fields) {
  if (cursor.Take('Z') || cursor.Take('z')) {
    fields->zone_minutes = 0;
    return true;
  }
  int sign = cursor.Take('+') ? 1 : cursor.Take('-') ? -1 : 0;
  int hours = 0, minutes = 0;
  if (sign == 0 || !cursor.Number(2, &hours) || !cursor.Take(':') || !cursor.Number(2, &minutes) ||
      hours > 23 || minutes > 59) {
    return false;
  }
  fields->zone_minutes = sign * (hours * 60 + minutes);
  return true;
}

bool FieldsExist(const TimeFields& fields) {
  using namespace std::chrono;
  year_month_day date{year{fields.year}, month{static_cast<unsigned>(fields.month)},
                      day{static_cast<unsigned>(fields.day)}};
  return fields.year >= kYearFirst && date.ok() && fields.hour < 24 && fields.minute < 60 &&
         fields.second < 60;
}

// As if written in UTC.
int64_t MicrosecondsOf(const TimeFields& fields) {
  using namespace std::chrono;
  sys_days date = year_month_day{year{fields.year}, month{static_cast<unsigned>(fields.month)},
                                 day{static_cast<unsigned>(fields.day)}};
  int64_t seconds = int64_t{date.time_since_epoch().count()} * 86400 + fields.hour * 3600 +
                    fields.minute * 60 + fields.second;
  return seconds * kSecond + fields.microseconds;
}

// "+02:00": what this machine's clock was set to at that local time; "Z" if it cannot be told.
std::string LocalOffset(const TimeFields& fields) {
  std::tm local{};
  local.tm_year = fields.year - 1900;
  local.tm_mon = fields.month - 1;
  local.tm_mday = fields.day;
  local.tm_hour = fields.hour;
  local.tm_min = fields.minute;
  local.tm_sec = fields.second;
  local.tm_isdst = -1;
  if (mktime(&local) == -1) return "Z";
  auto minutes = static_cast<int>(local.tm_gmtoff / 60);
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "%c%02d:%02d", minutes < 0 ? '-' : '+',
                std::abs(minutes) / 60 % 100, std::abs(minutes) % 60);
  return text.data();
}

Status WithoutZone(std::string_view text, const TimeFields& fields) {
  std::string hint = "say which one is meant: " + std::string(text) + "Z (UTC) or " +
                     std::string(text) + LocalOffset(fields) + " (this machine's zone)";
  return Status(Code::kUsage, "time '" + Printable(text) + "' has no zone", std::move(hint));
}

std::string_view TrimBlanks(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

Result<int64_t> ParseTime(std::string_view untrimmed) {
  std::string_view text = TrimBlanks(untrimmed);
  Cursor cursor(text);
  TimeFields fields;
  if (!ParseDateAndClock(cursor, &fields)) {
    return Malformed(text, "expected YYYY-MM-DDTHH:MM:SS");
  }
  if (cursor.Take('.') && !ParseFraction(cursor, &fields)) {
    return Malformed(text, "a fraction has one to six digits (microseconds)");
  }
  if (!FieldsExist(fields)) return Malformed(text, "there is no such date or time of day");
  if (cursor.AtEnd()) return WithoutZone(text, fields);
  (void)cursor.Take(' ');  // `date --rfc-3339` has none, people write one
  if (!ParseZone(cursor, &fields) || !cursor.AtEnd()) {
    return Malformed(text, "expected Z or a zone like +02:00 at its end");
  }
  int64_t time_us = MicrosecondsOf(fields) - int64_t{*fields.zone_minutes} * 60 * kSecond;
  if (time_us < 0) return Malformed(text, "it lies before 1970");
  return time_us;
}

std::string FormatTime(int64_t time_us) {
  using namespace std::chrono;
  sys_time<microseconds> time{microseconds{time_us}};
  sys_days date = floor<days>(time);
  year_month_day calendar{date};
  int64_t in_day = (time - date).count();
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02u-%02uT%02d:%02d:%02d.%06dZ",
                static_cast<int>(calendar.year()), static_cast<unsigned>(calendar.month()),
                static_cast<unsigned>(calendar.day()), static_cast<int>(in_day / kSecond / 3600),
                static_cast<int>(in_day / kSecond / 60 % 60),
                static_cast<int>(in_day / kSecond % 60), static_cast<int>(in_day % kSecond));
  return text.data();
}

std::string Target::ToString() const {
  std::string edge_text = edge == Edge::kBefore ? "before " : "through ";
  switch (kind) {
    case TargetKind::kGtid: return edge_text + "GTID " + gtid.ToString();
    case TargetKind::kTime: return edge_text + FormatTime(time_us);
    case TargetKind::kLatest: break;
  }
  return "latest";
}

}  // namespace tidemark
