#include "pitr/restore/blockers.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <set>

#include "pitr/restore/process.h"
#include "pitr/segment_cache.h"
#include "replication/event/control_events.h"

namespace tidemark {
namespace {

constexpr int kVersionMillisecondsMax = 60'000;
constexpr size_t kVersionBytesMax = 4096;

std::string MegaBytes(uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace

Result<uint64_t> FreeBytesFor(FileSystem& files, std::string directory) {
  while (!files.Exists(directory)) directory = ParentPath(directory);
  return files.FreeBytes(directory);
}

void CheckDiskSpace(const DiskEstimate& disk, const std::string& directory,
                    std::vector<Status>* blockers, std::vector<std::string>* warnings) {
  if (!disk.free_bytes || *disk.free_bytes >= disk.bytes()) return;
  const std::string free = directory + " has " + MegaBytes(*disk.free_bytes) + " free";
  if (*disk.free_bytes < disk.dump_bytes)
    blockers->push_back(Status(Code::kTargetRefused,
                               free + ", and the dump alone is " + MegaBytes(disk.dump_bytes),
                               "make room, or name a directory on a larger disk"));
  else
    warnings->push_back(free + ", and the restore may need " + MegaBytes(disk.bytes()));
}

uint32_t ParseServerVersion(const std::string& text) {
  const size_t ver = text.find("Ver ");
  const char* at = text.c_str() + (ver == std::string::npos ? 0 : ver + 4);
  uint32_t number = 0;
  for (int part = 0; part < 3; ++part) {
    if (std::isdigit(static_cast<unsigned char>(*at)) == 0) return 0;
    char* end = nullptr;
    const unsigned long value = std::strtoul(at, &end, 10);
    if (value > 99 || (part < 2 && *end != '.')) return 0;
    number = number * 100 + static_cast<uint32_t>(value);
    at = end + 1;
  }
  return number;
}

Result<std::string> AskServerVersion(const std::string& mysqld) {
  TM_ASSIGN_OR_RETURN(Pipe pipe, MakePipe());
  ProcessOptions run;
  run.argv = {mysqld, "--no-defaults", "--version"};
  run.output = std::move(pipe.write);
  TM_ASSIGN_OR_RETURN(auto child, ChildProcess::Start(std::move(run)));
  const std::optional<int> code = child->Wait(kVersionMillisecondsMax);
  if (!code || *code != 0)
    return Status(
        Code::kTargetRefused,
        mysqld + " --version " +
            (code ? "ended with exit code " + std::to_string(*code) + ": " + child->Errors()
                  : std::string("did not end")),
        "name a MySQL server with --mysqld");
  std::string text(kVersionBytesMax, '\0');
  const ssize_t got = ::read(pipe.read.get(), text.data(), text.size());
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

Result<std::string> SourceVersion(ArchiveView& view, const Plan& plan) {
  if (plan.segments.empty()) return std::string();
  SegmentCache cache(view);
  TM_ASSIGN_OR_RETURN(const OpenSegment* segment, cache.Get(plan.segments.back().number));
  TM_ASSIGN_OR_RETURN(const FormatDescription description,
                      ParseFormatDescription(AsBytes(segment->format_description)));
  return description.server_version;
}

Result<std::set<uint32_t>> ArchivedServerIds(ArchiveView& view, const Plan& plan) {
  constexpr size_t kServerIdOffset = 5;  // of an event's header
  std::set<uint32_t> ids;
  SegmentCache cache(view);
  for (size_t at : {size_t{0}, plan.segments.size() - 1}) {
    if (plan.segments.empty()) break;
    TM_ASSIGN_OR_RETURN(const OpenSegment* segment, cache.Get(plan.segments[at].number));
    if (segment->format_description.size() >= kServerIdOffset + 4)
      ids.insert(static_cast<uint32_t>(
          LoadLittleEndian(AsBytes(segment->format_description).data() + kServerIdOffset, 4)));
  }
  return ids;
}

Status CheckPort(uint16_t port) {
  sockaddr_in loopback{};
  loopback.sin_family = AF_INET;
  loopback.sin_port = htons(port);
  loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  sockaddr address{};
  std::memcpy(&address, &loopback, sizeof loopback);
  if (socket.get() < 0 ||
      ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::bind(socket.get(), &address, sizeof loopback) == 0 || errno != EADDRINUSE)
    return OkStatus();  // anything else its start will tell
  return Status(Code::kTargetRefused, "port " + std::to_string(port) + " is in use already",
                "name another one with --listen-port");
}

Status CheckServeAddress(const std::string& address) {
  constexpr char kHint[] =
      "name an address of this machine that the target can connect to, as a number, with "
      "--serve-address";
  addrinfo wanted{}, *found = nullptr;
  wanted.ai_flags = AI_NUMERICHOST | AI_PASSIVE;
  wanted.ai_socktype = SOCK_STREAM;
  if (::getaddrinfo(address.c_str(), "0", &wanted, &found) != 0)
    return Status(Code::kUsage, "'" + address + "' is not a numeric address", kHint);
  const Descriptor socket(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const bool ok = socket.get() >= 0 && ::bind(socket.get(), found->ai_addr, found->ai_addrlen) == 0;
  const std::string why = ok ? "" : std::strerror(errno);
  ::freeaddrinfo(found);
  if (ok) return OkStatus();
  return Status(Code::kUsage, "cannot serve the archive at " + address + ": " + why, kHint);
}

Status CheckMysqldOptions(const std::string& mysqld, const std::vector<std::string>& options) {
  if (options.empty()) return OkStatus();
  ProcessOptions run;
  run.argv = {mysqld, "--no-defaults", "--validate-config"};
  if (::geteuid() == 0) run.argv.push_back("--user=root");
  run.argv.insert(run.argv.end(), options.begin(), options.end());
  TM_ASSIGN_OR_RETURN(auto child, ChildProcess::Start(std::move(run)));
  const std::optional<int> code = child->Wait(kVersionMillisecondsMax);
  if (!code || *code == 0) return OkStatus();  // its start will tell
  std::string said = child->Errors();
  if (const size_t error = said.find("[Server] "); error != std::string::npos)
    said = said.substr(error + 9, said.find('\n', error) - error - 9);
  return Status(Code::kTargetRefused, mysqld + " does not take the options given: " + said,
                "correct --mysqld-option");
}

Status CheckVersions(const std::string& mysqld, const std::string& mysqld_version,
                     const std::string& source_version) {
  const uint32_t ours = ParseServerVersion(mysqld_version);
  const uint32_t theirs = ParseServerVersion(source_version);
  if (mysqld_version.find("MariaDB") != std::string::npos)
    return Status(Code::kTargetRefused, mysqld + " is a MariaDB: " + mysqld_version,
                  "name a MySQL server with --mysqld");
  if (ours == 0 || theirs == 0 || ours / 100 >= theirs / 100) return OkStatus();
  return Status(
      Code::kTargetRefused,
      mysqld + " (" + mysqld_version + ") is older than the archived source, " + source_version,
      "name a mysqld of at least the source's version with --mysqld");
}

}  // namespace tidemark
