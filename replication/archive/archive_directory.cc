#include "replication/archive/archive_directory.h"

#include <algorithm>
#include <charconv>
#include <random>

#include "replication/archive/gap_room.h"
#include "replication/base/failpoint.h"

namespace tidemark {
namespace {

constexpr size_t kSourceNameBytesMax = 64;
constexpr uint64_t kIdentityBytesMax = 16 << 20;
// 2: with lineage. Programs that know version 1 alone refuse such a source, and would not keep its
// lineage when they write down a new server.
constexpr uint16_t kIdentityFormatVersion = 2;
constexpr size_t kNumberDigits = 10;
constexpr uint64_t kSegmentNumberMax = 9'999'999'999;
constexpr std::string_view kSegmentSuffix = ".binlog.zst";
constexpr std::string_view kTemporarySuffix = ".new";  // WriteSmallFileDurably's

std::string_view Trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

Status BadLine(const std::string& path, size_t line, const std::string& what) {
  return Status(Code::kCorruption, path + " line " + std::to_string(line) + ": " + what,
                "restore the file from a copy, or from `SELECT @@server_uuid` on the source");
}

template <typename Integer>
bool ParseNumber(std::string_view text, Integer* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size();
}

// `continues` begins a fork, the others say more of it. False: no key of a fork, or no such value.
bool ParseForkLine(std::string_view key, std::string_view value, std::vector<SourceFork>* forks) {
  if (key == "continues") {
    forks->emplace_back().parent = value;
    return ArchiveDirectory::CheckSourceName(forks->back().parent).ok();
  }
  if (forks->empty()) return false;
  SourceFork& fork = forks->back();
  if (key == "fork_segment") return ParseNumber(value, &fork.segment);
  if (key == "fork_us") return ParseNumber(value, &fork.at_us);
  if (key != "fork_set" && key != "fork_lost") return false;
  Result<GtidSet> set = GtidSet::Parse(value);
  if (set.ok()) (key == "fork_set" ? fork.set : fork.lost) = std::move(*set);
  return set.ok();
}

std::string ForkLines(const SourceFork& fork) {
  return "continues = " + fork.parent + "\nfork_segment = " + std::to_string(fork.segment) +
         "\nfork_us = " + std::to_string(fork.at_us) + "\nfork_set = " + fork.set.ToString() +
         "\nfork_lost = " + fork.lost.ToString() + "\n";
}

Status ParseIdentityLine(const std::string& path, size_t line, std::string_view text,
                         SourceIdentity* identity) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) return BadLine(path, line, "'key = value' expected");
  const std::string_view key = Trimmed(text.substr(0, equals));
  const std::string_view value = Trimmed(text.substr(equals + 1));
  if (key == "format_version") {
    if (!ParseNumber(value, &identity->format_version) || identity->format_version == 0)
      return BadLine(path, line, "format_version is no number");
    if (identity->format_version > kIdentityFormatVersion)
      return Status(Code::kUnsupportedFormat,
                    path + " has format version " + std::to_string(identity->format_version) +
                        ", this program reads versions up to " +
                        std::to_string(kIdentityFormatVersion),
                    "use the version of Tidemark that wrote it, or a newer one");
    return OkStatus();
  }
  if (key == "continues" || key.starts_with("fork_")) {
    if (ParseForkLine(key, value, &identity->forks)) return OkStatus();
    return BadLine(path, line, "no lineage: '" + std::string(text) + "'");
  }
  if (key != "replica_uuid" && key != "server_uuid")
    return BadLine(path, line, "unknown key '" + std::string(key) + "'");
  Result<Uuid> uuid = Uuid::Parse(value);
  if (!uuid.ok()) return BadLine(path, line, uuid.error().message());
  if (key == "replica_uuid")
    identity->replica_uuid = *uuid;
  else
    identity->server_uuids.push_back(*uuid);
  return OkStatus();
}

// The number in NNNNNNNNNN.binlog.zst, 0 if `name` is no such name.
uint64_t SegmentNumber(const std::string& name) {
  if (name.size() != kNumberDigits + kSegmentSuffix.size() || !name.ends_with(kSegmentSuffix))
    return 0;
  uint64_t number = 0;
  for (size_t i = 0; i < kNumberDigits; ++i) {
    if (name[i] < '0' || name[i] > '9') return 0;
    number = number * 10 + static_cast<uint64_t>(name[i] - '0');
  }
  return number;
}

std::string LockPath(const std::string& root) { return JoinPath(root, "LOCK"); }

}  // namespace

Status CheckSegmentIsOf(const std::string& source, const std::vector<SourceFork>& forks,
                        uint64_t number, const std::string& path, const SegmentHeader& header) {
  const bool shared = std::any_of(forks.begin(), forks.end(), [&](const SourceFork& fork) {
    return header.source_name == fork.parent && number <= fork.segment;
  });
  if (header.number == number && (header.source_name == source || shared)) return OkStatus();
  return Status(Code::kCorruption,
                "segment " + path + " says it is segment " + std::to_string(header.number) +
                    " of source '" + header.source_name + "'",
                "it was renamed or copied here by hand: put the right file in its place");
}

ArchiveDirectory::ArchiveDirectory(FileSystem& files, std::string root)
    : files_(files), root_(std::move(root)) {}

Result<std::unique_ptr<FileLock>> ArchiveDirectory::LockForWriting() {
  TM_RETURN_IF_ERROR(files_.CreateDirectories(root_));
  const std::string path = LockPath(root_);
  const bool is_new = !files_.Exists(path);
  TM_ASSIGN_OR_RETURN(auto lock, files_.Lock(path));
  if (is_new) TM_RETURN_IF_ERROR(files_.SyncDirectory(root_));
  return lock;
}

bool ArchiveDirectory::IsLockedForWriting() const {
  return files_.LockHolder(LockPath(root_)) != 0;
}

Status ArchiveDirectory::CheckExists() const {
  if (files_.Exists(LockPath(root_))) return OkStatus();
  if (files_.IsDirectory(root_)) {
    TM_ASSIGN_OR_RETURN(auto sources, Sources());
    if (!sources.empty()) return OkStatus();
  }
  return Status(Code::kNotFound,
                root_ + " is no archive: neither a LOCK file nor a source is in it",
                "name the directory that tidemarkd writes to: --archive DIR or TIDEMARK_ARCHIVE");
}

Status ArchiveDirectory::CheckSourceName(const std::string& name) {
  const auto allowed = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  if (!name.empty() && name.size() <= kSourceNameBytesMax && name[0] != '.' && name != "LOCK" &&
      name != "index" && !name.starts_with("index.") && name != "reserve" &&
      name != "reserve.new" && std::all_of(name.begin(), name.end(), allowed))
    return OkStatus();
  return Status(Code::kUsage, "'" + name + "' cannot be the name of a source",
                "use 1 to 64 of A-Z a-z 0-9 . _ -, not beginning with a dot or 'index.', and "
                "not 'index', 'reserve', 'reserve.new' or 'LOCK'");
}

Result<std::vector<std::string>> ArchiveDirectory::Sources() const {
  TM_ASSIGN_OR_RETURN(auto names, files_.List(root_));
  std::erase_if(names, [this](const std::string& name) {
    return !CheckSourceName(name).ok() || !HasIdentity(name);
  });
  return names;
}

Status ArchiveDirectory::CreateDirectories(const std::string& source) {
  TM_RETURN_IF_ERROR(CheckSourceName(source));
  TM_RETURN_IF_ERROR(files_.CreateDirectories(SegmentsPath(source)));
  // Names that we find may be those of a process that was killed before it could sync them.
  for (const std::string& path : {SegmentsPath(source), JoinPath(root_, source), root_})
    TM_RETURN_IF_ERROR(files_.SyncDirectory(path));
  return OkStatus();
}

Status ArchiveDirectory::CreateSource(const std::string& source) {
  TM_RETURN_IF_ERROR(CreateDirectories(source));
  // Written last: a directory without it is no source yet.
  const bool marked = files_.Exists(LineageMarkPath(source));
  if (HasIdentity(source)) return marked ? RemoveLineageMark(source) : OkStatus();
  if (marked)
    return Status(Code::kUsage,
                  "source " + source + " was to continue another one, and that is not finished",
                  "put `continues` back into its [[source]] table, or, to begin from nothing, "
                  "remove " +
                      JoinPath(root_, source));
  SourceIdentity identity;
  identity.replica_uuid = NewReplicaUuid();
  return WriteIdentity(source, identity);
}

Status ArchiveDirectory::RemoveLineageMark(const std::string& source) {
  TM_RETURN_IF_ERROR(files_.Remove(LineageMarkPath(source)));
  return files_.SyncDirectory(JoinPath(root_, source));
}

bool ArchiveDirectory::HasIdentity(const std::string& source) const {
  return files_.Exists(JoinPath(JoinPath(root_, source), "identity"));
}

Uuid ArchiveDirectory::NewReplicaUuid() {
  std::random_device random;
  Uuid uuid;
  for (uint8_t& byte : uuid.bytes) byte = static_cast<uint8_t>(random());
  uuid.bytes[6] = static_cast<uint8_t>((uuid.bytes[6] & 0x0F) | 0x40);  // RFC 9562: version 4,
  uuid.bytes[8] = static_cast<uint8_t>((uuid.bytes[8] & 0x3F) | 0x80);  // variant 10
  return uuid;
}

Result<SourceIdentity> ArchiveDirectory::ReadIdentity(const std::string& source) const {
  TM_RETURN_IF_ERROR(CheckSourceName(source));
  const std::string path = JoinPath(JoinPath(root_, source), "identity");
  TM_ASSIGN_OR_RETURN(std::string contents, ReadSmallFile(files_, path, kIdentityBytesMax));
  SourceIdentity identity;
  identity.format_version = 0;
  size_t line = 0;
  for (size_t at = 0; at < contents.size();) {
    const size_t end = std::min(contents.find('\n', at), contents.size());
    const std::string_view text = Trimmed(std::string_view(contents).substr(at, end - at));
    at = end + 1;
    ++line;
    if (text.empty() || text[0] == '#') continue;
    TM_RETURN_IF_ERROR(ParseIdentityLine(path, line, text, &identity));
  }
  if (identity.format_version == 0) return BadLine(path, line, "format_version is missing");
  if (identity.replica_uuid == Uuid()) return BadLine(path, line, "replica_uuid is missing");
  return identity;
}

Status ArchiveDirectory::WriteIdentity(const std::string& source, const SourceIdentity& identity) {
  TM_RETURN_IF_ERROR(CheckSourceName(source));
  std::string text = "# Tidemark source; written by tidemarkd\n";
  text += "format_version = " + std::to_string(identity.forks.empty() ? 1 : 2) + "\n";
  text += "replica_uuid = " + identity.replica_uuid.ToString() + "\n";
  for (const Uuid& uuid : identity.server_uuids) text += "server_uuid = " + uuid.ToString() + "\n";
  for (const SourceFork& fork : identity.forks) text += ForkLines(fork);
  if (text.size() > kIdentityBytesMax)
    return Status(Code::kUsage, "the identity of source " + source + " would have " +
                                    std::to_string(text.size()) + " bytes, more than the " +
                                    std::to_string(kIdentityBytesMax) + " allowed");
  TM_RETURN_IF_ERROR(
      WriteSmallFileDurably(files_, JoinPath(JoinPath(root_, source), "identity"), text));
  TM_FAILPOINT("identity.written");
  return OkStatus();
}

std::vector<SourceFork> ArchiveDirectory::ForksOf(const std::string& source) const {
  Result<SourceIdentity> identity = ReadIdentity(source);
  return identity.ok() ? std::move(identity->forks) : std::vector<SourceFork>();
}

Result<std::vector<uint64_t>> ArchiveDirectory::Segments(const std::string& source) const {
  TM_RETURN_IF_ERROR(CheckSourceName(source));
  const std::string directory = SegmentsPath(source);
  TM_ASSIGN_OR_RETURN(auto names, files_.List(directory));
  std::vector<uint64_t> numbers;
  for (const std::string& name : names) {
    if (name.ends_with(kTemporarySuffix)) continue;
    const uint64_t number = SegmentNumber(name);
    if (number == 0)
      return Status(Code::kCorruption, JoinPath(directory, name) + " is no segment",
                    "move it out of the archive");
    if (!numbers.empty() && number != numbers.back() + 1)
      TM_RETURN_IF_ERROR(CheckRoom(*this, source, numbers.back(), number));
    numbers.push_back(number);
  }
  return numbers;
}

std::string ArchiveDirectory::SegmentPath(const std::string& source, uint64_t number) const {
  TM_CHECK(number >= 1 && number <= kSegmentNumberMax);
  std::string digits = std::to_string(number);
  digits.insert(0, kNumberDigits - digits.size(), '0');
  return JoinPath(SegmentsPath(source), digits.append(kSegmentSuffix));
}

std::string ArchiveDirectory::SegmentsPath(const std::string& source) const {
  return JoinPath(JoinPath(root_, source), "segments");
}

std::string ArchiveDirectory::LineageMarkPath(const std::string& source) const {
  return JoinPath(JoinPath(root_, source), "lineage.begun");
}

std::string ArchiveDirectory::IndexPath() const { return JoinPath(root_, "index"); }

}  // namespace tidemark
