#include "replication/archive/operator_record.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "replication/base/checksum.h"

namespace tidemark {
namespace {

constexpr std::string_view kGapsHead =
    "# Tidemark: gaps of this source that somebody has acknowledged\n";
constexpr std::string_view kPauseHead =
    "# Tidemark: this source is not archived until it is resumed\n";
constexpr uint32_t kFormatVersion = 1;
constexpr size_t kCrcDigits = 8;

std::string PathOf(const ArchiveDirectory& archive, const std::string& source, const char* name) {
  return JoinPath(JoinPath(archive.root(), source), name);
}
std::string GapsPath(const ArchiveDirectory& archive, const std::string& source) {
  return PathOf(archive, source, "acknowledged_gaps");
}
std::string PausePath(const ArchiveDirectory& archive, const std::string& source) {
  return PathOf(archive, source, "paused");
}

std::string Hex(uint32_t value) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text(kCrcDigits, '0');
  for (size_t i = kCrcDigits; i-- > 0; value >>= 4) text[i] = kDigits[value & 15];
  return text;
}

void PutLine(std::string* text, std::string_view key, std::string_view value) {
  text->append(key).append(" = ").append(value).append("\n");
}

std::string Head(std::string_view comment) {
  std::string text(comment);
  PutLine(&text, "format_version", std::to_string(kFormatVersion));
  return text;
}

void PutNote(std::string* text, const OperatorNote& note) {
  PutLine(text, "by", note.by);
  PutLine(text, "at_us", std::to_string(note.at_us));
  PutLine(text, "reason", note.reason);
}

void PutEnd(std::string* text) { PutLine(text, "crc32", Hex(Crc32(0, AsBytes(*text)))); }

// The lines of such a file, in the order in which they must come.
class Lines {
 public:
  Lines(const std::string& path, std::string_view text) : path_(path), text_(text) {}

  // Version and checksum, before anything else is believed.
  Status CheckWhole() {
    while (text_.substr(at_).starts_with('#')) TM_RETURN_IF_ERROR(TakeLine());
    TM_ASSIGN_OR_RETURN(const uint64_t version, TakeNumber("format_version"));
    if (version > kFormatVersion)
      return Status(Code::kUnsupportedFormat,
                    path_ + " has format version " + std::to_string(version) +
                        ", this program reads version " + std::to_string(kFormatVersion),
                    "use the version of Tidemark that wrote it, or a newer one");
    if (version == 0) return Bad("format_version is 0");
    const std::string body(text_.substr(0, text_.size() - std::min(text_.size(), kEndBytes)));
    std::string whole = body;
    PutEnd(&whole);
    if (whole != text_) return Bad("it is cut off or was changed: its checksum is not at its end");
    text_.remove_suffix(kEndBytes);
    return OkStatus();
  }
  bool AtEnd() const { return at_ == text_.size(); }
  Result<std::string> TakeText(std::string_view key) {
    TM_RETURN_IF_ERROR(TakeLine());
    const std::string start = std::string(key) + " = ";
    if (!line_.starts_with(start)) return Bad("'" + start + "…' expected");
    return std::string(line_.substr(start.size()));
  }
  Result<uint64_t> TakeNumber(std::string_view key) {
    TM_ASSIGN_OR_RETURN(const std::string text, TakeText(key));
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || number > INT64_MAX)
      return Bad(std::string(key) + " is no number");
    return number;
  }
  Result<OperatorNote> TakeNote() {
    OperatorNote note;
    TM_ASSIGN_OR_RETURN(note.by, TakeText("by"));
    TM_ASSIGN_OR_RETURN(const uint64_t at_us, TakeNumber("at_us"));
    note.at_us = static_cast<int64_t>(at_us);
    TM_ASSIGN_OR_RETURN(note.reason, TakeText("reason"));
    const Status good = CheckOperatorNote(note);
    return good.ok() ? Result<OperatorNote>(note) : Bad(good.message());
  }
  Status Bad(const std::string& what) const {
    const std::string where = line_number_ == 0 ? "" : " line " + std::to_string(line_number_);
    return Status(Code::kCorruption, path_ + where + ": " + what,
                  "put a good copy in its place, or move it away: nothing that it says holds then");
  }

 private:
  static constexpr size_t kEndBytes = std::string_view("crc32 = \n").size() + kCrcDigits;

  Status TakeLine() {
    const size_t end = text_.find('\n', at_);
    if (end == std::string_view::npos) return Bad("it is cut off");
    line_ = text_.substr(at_, end - at_);
    at_ = end + 1;
    ++line_number_;
    return OkStatus();
  }

  const std::string& path_;
  std::string_view text_;
  std::string_view line_;
  size_t at_ = 0;
  size_t line_number_ = 0;
};

Result<std::vector<GapAcknowledgement>> ParseGaps(const std::string& path,
                                                  const std::string& text) {
  Lines lines(path, text);
  TM_RETURN_IF_ERROR(lines.CheckWhole());
  std::vector<GapAcknowledgement> acknowledged;
  while (!lines.AtEnd()) {
    GapAcknowledgement& one = acknowledged.emplace_back();
    TM_ASSIGN_OR_RETURN(const std::string set, lines.TakeText("gtids"));
    Result<GtidSet> gtids = GtidSet::Parse(set);
    if (!gtids.ok()) return lines.Bad(gtids.error().message());
    if (gtids->empty()) return lines.Bad("gtids is empty");
    one.gtids = std::move(*gtids);
    TM_ASSIGN_OR_RETURN(one.note, lines.TakeNote());
  }
  return acknowledged;
}

std::string GapsText(const std::vector<GapAcknowledgement>& acknowledged) {
  std::string text = Head(kGapsHead);
  for (const GapAcknowledgement& one : acknowledged) {
    PutLine(&text, "gtids", one.gtids.ToString());
    PutNote(&text, one.note);
  }
  PutEnd(&text);
  return text;
}

Status CheckLine(const char* what, const std::string& text, size_t bytes_max) {
  if (text.empty()) return Status(Code::kUsage, std::string("it is not said ") + what);
  if (text.size() > bytes_max)
    return Status(Code::kUsage, std::string(what) + " is said in " + std::to_string(text.size()) +
                                    " bytes, more than " + std::to_string(bytes_max));
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  if (std::any_of(text.begin(), text.end(), control))
    return Status(Code::kUsage, std::string(what) + " must be said in one line of text");
  return OkStatus();
}

// Of the sources that it continues, as far as it shares their past.
std::vector<GapAcknowledgement> AcknowledgedInPast(const ArchiveDirectory& archive,
                                                   const std::string& source) {
  std::vector<GapAcknowledgement> all;
  for (const SourceFork& fork : archive.ForksOf(source)) {
    auto past = ReadAcknowledgedGaps(archive, fork.parent);
    if (!past.ok()) continue;
    for (GapAcknowledgement& one : *past) {
      one.gtids = one.gtids.Intersection(fork.set);
      if (!one.gtids.empty()) all.push_back(std::move(one));
    }
  }
  return all;
}

}  // namespace

Status CheckOperatorNote(const OperatorNote& note) {
  TM_RETURN_IF_ERROR(CheckLine("by whom", note.by, kOperatorNameBytesMax));
  return CheckLine("why", note.reason, kOperatorReasonBytesMax);
}

Result<std::vector<GapAcknowledgement>> ReadAcknowledgedGaps(const ArchiveDirectory& archive,
                                                             const std::string& source) {
  TM_RETURN_IF_ERROR(ArchiveDirectory::CheckSourceName(source));
  const std::string path = GapsPath(archive, source);
  Result<std::string> text = ReadSmallFile(archive.files(), path, kOperatorFileBytesMax);
  if (text.ok()) return ParseGaps(path, *text);
  if (text.error().code() == Code::kNotFound) return std::vector<GapAcknowledgement>();
  return text.error();
}

Result<std::vector<GapAcknowledgement>> ReadAcknowledgedInLineage(const ArchiveDirectory& archive,
                                                                  const std::string& source) {
  std::vector<GapAcknowledgement> all = AcknowledgedInPast(archive, source);
  TM_ASSIGN_OR_RETURN(auto own, ReadAcknowledgedGaps(archive, source));
  std::move(own.begin(), own.end(), std::back_inserter(all));
  return all;
}

Result<GtidSet> AddAcknowledgedGap(const ArchiveDirectory& archive, const std::string& source,
                                   const GapAcknowledgement& acknowledgement) {
  TM_RETURN_IF_ERROR(CheckOperatorNote(acknowledgement.note));
  TM_RETURN_IF_ERROR(ArchiveDirectory::CheckSourceName(source));
  const std::string path = GapsPath(archive, source);
  const Result<std::unique_ptr<FileLock>> lock = archive.files().Lock(path + ".lock");
  if (!lock.ok() && lock.error().code() == Code::kLocked)
    return Status(Code::kLocked, "somebody else acknowledges a gap of " + source + " just now",
                  "try again");
  if (!lock.ok()) return lock.error();
  TM_ASSIGN_OR_RETURN(auto acknowledged, ReadAcknowledgedGaps(archive, source));
  GapAcknowledgement fresh = acknowledgement;
  for (const GapAcknowledgement& one : AcknowledgedInPast(archive, source))
    fresh.gtids.Subtract(one.gtids);
  for (const GapAcknowledgement& one : acknowledged) fresh.gtids.Subtract(one.gtids);
  if (fresh.gtids.empty()) return fresh.gtids;
  GtidSet added = fresh.gtids;
  acknowledged.push_back(std::move(fresh));
  const std::string text = GapsText(acknowledged);
  if (text.size() > kOperatorFileBytesMax)
    return Status(Code::kUsage,
                  path + " has no room for more: " + std::to_string(acknowledged.size() - 1) +
                      " acknowledgements are in it",
                  "acknowledge whole gaps, not piece by piece");
  TM_RETURN_IF_ERROR(WriteSmallFileDurably(archive.files(), path, text));
  return added;
}

Result<std::optional<OperatorNote>> ReadPause(const ArchiveDirectory& archive,
                                              const std::string& source) {
  TM_RETURN_IF_ERROR(ArchiveDirectory::CheckSourceName(source));
  const std::string path = PausePath(archive, source);
  Result<std::string> text = ReadSmallFile(archive.files(), path, kOperatorFileBytesMax);
  if (!text.ok() && text.error().code() == Code::kNotFound) return std::optional<OperatorNote>();
  if (!text.ok()) return text.error();
  Lines lines(path, *text);
  TM_RETURN_IF_ERROR(lines.CheckWhole());
  TM_ASSIGN_OR_RETURN(OperatorNote note, lines.TakeNote());
  if (!lines.AtEnd()) return lines.Bad("something follows the reason");
  return std::optional<OperatorNote>(std::move(note));
}

Status WritePause(const ArchiveDirectory& archive, const std::string& source,
                  const OperatorNote& note) {
  TM_RETURN_IF_ERROR(ArchiveDirectory::CheckSourceName(source));
  TM_RETURN_IF_ERROR(CheckOperatorNote(note));
  std::string text = Head(kPauseHead);
  PutNote(&text, note);
  PutEnd(&text);
  return WriteSmallFileDurably(archive.files(), PausePath(archive, source), text);
}

Status RemovePause(const ArchiveDirectory& archive, const std::string& source) {
  TM_RETURN_IF_ERROR(ArchiveDirectory::CheckSourceName(source));
  const std::string path = PausePath(archive, source);
  Status removed = archive.files().Remove(path);
  if (!removed.ok() && removed.code() != Code::kNotFound) return removed;
  return archive.files().SyncDirectory(ParentPath(path));
}

}  // namespace tidemark
