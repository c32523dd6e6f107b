#include "pitr/restore/applier_error.h"

#include <algorithm>
#include <charconv>

#include "replication/event/gtid.h"

namespace tidemark {
namespace {

constexpr std::string_view kTransaction = "transaction '";
constexpr std::string_view kEndLogPos = "end_log_pos ";
constexpr std::string_view kOnTable = " event on table ";
constexpr std::string_view kLogErrorCode = " Error_code: MY-";  // behind "," unless behind "."
constexpr std::string_view kNoReason = "Coordinator stopped because";
constexpr size_t kSaidBytesMax = 1024;

// What stands between `from` and `to`; to the end without a `to`.
std::string_view Between(std::string_view text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  if (at == std::string_view::npos) return {};
  text.remove_prefix(at + from.size());
  return text.substr(0, text.find(to));
}

// "Worker 2 failed executing transaction 'G' at source log F, end_log_pos N; WHAT; the event's
// source log F, end_log_pos N" -> WHAT
std::string_view WithoutPositions(std::string_view text) {
  if (const size_t tail = text.rfind("; the event's "); tail != std::string_view::npos)
    text = text.substr(0, tail);
  const size_t prefix = text.find("failed executing transaction '");
  if (prefix == std::string_view::npos || text.starts_with(kNoReason)) return text;
  const size_t position = text.find(kEndLogPos, prefix);
  const size_t end =
      position == std::string_view::npos ? position : text.find_first_of(";.", position);
  return end == std::string_view::npos || text[end] != ';'
             ? text
             : text.substr(std::min(text.size(), end + 2));
}

std::string Printable(std::string_view text) {
  std::string out(text.substr(0, kSaidBytesMax));
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  while (out.ends_with(' ') || out.ends_with('.') || out.ends_with(',')) out.pop_back();
  return out;
}

std::string HintFor(const ApplierError& error) {
  std::string hint = "what was committed before it stays";
  if (!error.gtid.empty())
    hint += "; --before-gtid " + error.gtid + " restores to just before it, --skip-gtid " +
            error.gtid + " goes on without it";
  constexpr unsigned kXaFiltered = 3898;
  if (error.number == kXaFiltered)
    return "XA transactions cannot be filtered: restore without filters; " + hint;
  constexpr unsigned kOtherState[] = {1032, 1049, 1054, 1062, 1146, 1677};
  if (std::find(std::begin(kOtherState), std::end(kOtherState), error.number) ==
      std::end(kOtherState))
    return hint;
  return "the target is not what the source was at that point: was it written to, or is something "
         "skipped or filtered that this needs? " +
         hint;
}

}  // namespace

bool SaysDiskFull(unsigned number, std::string_view text) {
  constexpr unsigned kDiskFullNumber = 1021, kRecordFileFull = 1114;
  if (number == kDiskFullNumber || number == kRecordFileFull) return true;
  for (const std::string_view sign :
       {"No space left on device", "Disk is full", "Disk full", "Errcode: 28", "errno: 28",
        "Disk quota exceeded", "HA_ERR_RECORD_FILE_FULL", "HA_ERR_DISK_FULL"})
    if (text.find(sign) != std::string_view::npos) return true;
  return false;
}

ApplierError ParseApplierError(unsigned number, std::string_view message) {
  ApplierError error;
  error.number = number;
  const auto gtid = Gtid::Parse(Between(message, kTransaction, "'"));
  if (gtid.ok()) error.gtid = gtid->ToString();
  const std::string_view said = WithoutPositions(message);
  error.table = Printable(Between(said, kOnTable, ";"));
  error.said = Printable(said);
  return error;
}

std::optional<ApplierError> LastApplierErrorInLog(std::string_view log, std::string_view channel) {
  // A worker's line names the cause. A coordinator's says only that workers stopped.
  const std::string mark = "for channel '" + std::string(channel) + "': ";
  std::optional<ApplierError> without_gtid;
  for (size_t end = log.size(); end > 0;) {
    const size_t at = log.substr(0, end).rfind(mark);
    if (at == std::string_view::npos) break;
    const std::string_view rest = log.substr(at + mark.size(), end - at - mark.size());
    const size_t line = log.substr(0, at).rfind('\n') + 1;
    end = at;
    const size_t code = rest.find(kLogErrorCode);
    const std::string_view head = log.substr(line, at - line);
    if (code == std::string_view::npos || head.find("[ERROR]") == std::string_view::npos ||
        head.find("Replica SQL") == std::string_view::npos)
      continue;
    unsigned number = 0;
    const std::string_view digits = rest.substr(code + kLogErrorCode.size(), 6);
    std::from_chars(digits.data(), digits.data() + digits.size(), number);
    ApplierError error = ParseApplierError(number, rest.substr(0, code));
    if (!error.gtid.empty()) return error;
    if (!without_gtid) without_gtid = std::move(error);
  }
  return without_gtid;
}

Status ApplierErrorStatus(const ApplierError& error) {
  std::string what = error.gtid.empty() ? "a transaction" : "transaction " + error.gtid;
  if (!error.table.empty()) what += " on table " + error.table;
  const std::string said = ": error " + std::to_string(error.number) + ": " + error.said;
  if (SaysDiskFull(error.number, error.said))
    return Status(Code::kDiskFull, "the restore target's disk is full at " + what + said,
                  "make room where its data and relay logs are (or give the table the size it "
                  "needs), then restore again");
  return Status(Code::kTargetRefused, "the restore target rejected " + what + said, HintFor(error));
}

}  // namespace tidemark
