#include "tests/soak/audit.h"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "index/index.h"
#include "replication/archive/archive_directory.h"
#include "tests/support/mysql_paths.h"

namespace tidemark::soak {
namespace {

namespace fs = std::filesystem;

constexpr int kPassMs = 5000;
constexpr int kTries = 3;  // of an export beside a daemon that is being killed
constexpr uint64_t kFreeBytesMin = 3ull << 30;
constexpr int kGoneMs = 30'000;

bool Older(const std::string& a, const std::string& b) {
  return a.size() != b.size() ? a.size() < b.size() : a < b;
}

// Empty if they are the same.
std::string FirstDifference(const std::string& ours, const std::string& theirs) {
  std::ifstream a(ours, std::ios::binary);
  std::ifstream b(theirs, std::ios::binary);
  std::vector<char> x(1 << 20);
  std::vector<char> y(1 << 20);
  for (uint64_t offset = 0;;) {
    a.read(x.data(), static_cast<std::streamsize>(x.size()));
    b.read(y.data(), static_cast<std::streamsize>(y.size()));
    const auto common = static_cast<size_t>(std::min(a.gcount(), b.gcount()));
    const auto differ =
        std::mismatch(x.begin(), x.begin() + static_cast<ptrdiff_t>(common), y.begin());
    offset += static_cast<uint64_t>(differ.first - x.begin());
    if (differ.first != x.begin() + static_cast<ptrdiff_t>(common))
      return "they differ at offset " + std::to_string(offset);
    if (a.gcount() != b.gcount()) return "one of them ends at offset " + std::to_string(offset);
    if (common < x.size()) return {};
  }
}

std::vector<std::string> FinishedFiles(testing::Connection& connection) {
  std::vector<std::string> names;
  const auto rows = connection.Query("SHOW BINARY LOGS");
  if (!rows.ok()) return names;
  for (const std::vector<std::string>& row : *rows) names.push_back(row[0]);
  if (!names.empty()) names.pop_back();
  return names;
}

}  // namespace

FileAudit::FileAudit(Rig& rig) : rig_(rig) {
  thread_ = std::thread([this] { Run(); });
}

void FileAudit::Stop() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
}

void FileAudit::Run() {
  while (!testing::WaitUntil([this] { return stop_.load(); }, kPassMs)) {
    CheckSpace();
    Pass(rig_.SourceFile());
  }
}

void FileAudit::CheckSpace() {
  std::error_code error;
  const fs::space_info space = fs::space(rig_.options().directory, error);
  if (!error && space.available < kFreeBytesMin)
    rig_.report().Violation("the disk is nearly full: " + std::to_string(space.available) +
                            " bytes are free");
}

void FileAudit::Rest() { Pass("~"); }

// Files older than `archived_file`. The server may go at any time.
void FileAudit::Pass(const std::string& archived_file) {
  auto connection = rig_.primary().Connect();
  if (!connection.ok() || archived_file.empty()) return;
  std::string purge_to;
  for (const std::string& name : FinishedFiles(**connection)) {
    if (archived_file != "~" && !Older(name, archived_file)) break;
    if (!compared_.empty() && !Older(compared_, name)) continue;
    if (!Compare(name)) return;
    compared_ = name;
  }
  if (archived_file != "~")
    (void)(*connection)->Execute("PURGE BINARY LOGS TO '" + archived_file + "'");
}

bool FileAudit::Compare(const std::string& name) {
  const std::string ours = rig_.options().directory + "/exported";
  const std::string theirs = rig_.primary().data_directory() + "/" + name;
  testing::ProgramResult result;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    std::error_code error;
    fs::remove(ours, error);
    result = rig_.Pitr({"--source", kSource, "export", "--source-file", name, "--output", ours});
    if (result.exit_code == 0) break;
    (void)testing::WaitUntil([] { return false; }, 1000);
  }
  if (result.exit_code != 0) {
    rig_.report().Violation(name + " cannot be exported: " + result.err);
    return false;
  }
  const std::string difference = FirstDifference(ours, theirs);
  if (!difference.empty()) {
    const std::string kept = ours + "-" + name;
    fs::rename(ours, kept);
    rig_.report().Violation(kept + " is not the primary's " + name + ": " + difference);
    fs::copy_file(theirs, kept + "-primary", fs::copy_options::overwrite_existing);
  } else {
    bytes_ += fs::file_size(ours);
    fs::remove(ours);
  }
  ++files_;
  return true;
}

namespace {

void CheckSets(Rig& rig, const Workload& workload) {
  const Result<GtidSet> executed = rig.Executed();
  const testing::ProgramResult status = rig.Pitr({"--json", "--source", kSource, "status"});
  const nlohmann::json json = nlohmann::json::parse(status.out, nullptr, false);
  if (!executed.ok() || status.exit_code != 0 || !json.is_object())
    return rig.report().Violation("no status at the end: " + status.err);
  const nlohmann::json& coverage = json["sources"][0]["coverage"];
  const GtidSet archived = *GtidSet::Parse(coverage["archived"].get<std::string>());
  if (!(archived == *executed))
    rig.report().Violation("the archive lacks " + executed->Minus(archived).ToString() +
                           " of the primary, and has beyond it " +
                           archived.Minus(*executed).ToString());
  if (const GtidSet lost = workload.Succeeded().Minus(archived); !lost.empty())
    rig.report().Violation("lost, though clients saw it succeed: " + lost.ToString());
  if (!coverage["gaps"].empty())
    rig.report().Violation("there are gaps: " + coverage["gaps"].dump());
}

Result<std::string> IndexText(const ArchiveDirectory& archive) {
  TM_ASSIGN_OR_RETURN(const auto index, Index::OpenForReading(archive.IndexPath()));
  std::string text;
  TM_RETURN_IF_ERROR(DumpIndex(*index, &text));
  return text;
}

Status CompareIndex(Rig& rig) {
  ArchiveDirectory archive(PosixFileSystem(), rig.archive());
  TM_ASSIGN_OR_RETURN(const std::string before, IndexText(archive));
  const testing::ProgramResult rebuilt = rig.Pitr({"index", "rebuild"});
  if (rebuilt.exit_code != 0) return Status(Code::kIo, rebuilt.err);
  TM_ASSIGN_OR_RETURN(const std::string after, IndexText(archive));
  if (before == after) return OkStatus();
  const auto at = std::mismatch(before.begin(), before.end(), after.begin(), after.end()).first;
  const size_t line = before.rfind('\n', static_cast<size_t>(at - before.begin())) + 1;
  return Status(Code::kCorruption, "the index is not what a rebuild makes of the segments: " +
                                       before.substr(line, before.find('\n', line) - line));
}

Status CompareData(Rig& rig, const Workload& workload, const nlohmann::json& receipt) {
  testing::ConnectionOptions options;
  options.socket = receipt.at("target").at("socket").get<std::string>();
  TM_ASSIGN_OR_RETURN(const auto restored, testing::Connection::Open(options));
  for (const std::string& difference : workload.CompareLedger(*restored))
    rig.report().Violation("restored: " + difference);
  for (const char* sql :
       {"CHECKSUM TABLE soak.ledger, soak.t_0, soak.t_1, soak.t_2, soak.t_3, soak.t_4, soak.t_5",
        "SELECT @@GLOBAL.gtid_executed", "SHOW TABLES IN soak", "XA RECOVER"}) {
    TM_ASSIGN_OR_RETURN(auto theirs, rig.primary().Query(sql));
    TM_ASSIGN_OR_RETURN(auto ours, restored->Query(sql));
    std::sort(theirs.begin(), theirs.end());
    std::sort(ours.begin(), ours.end());
    if (ours != theirs)
      rig.report().Violation(std::string("restored and primary differ in ") + sql);
  }
  return OkStatus();
}

Status CheckRestore(Rig& rig, const Workload& workload) {
  const testing::ProgramResult run =
      rig.Pitr({"--json", "restore", "--dump", rig.base_dump(), "--into",
                rig.options().directory + "/restored", "--latest", "--mysqld",
                testing::MySqlProgram("mysqld"), "--mysql", testing::MySqlProgram("mysql"),
                "--mysqlbinlog", testing::MySqlProgram("mysqlbinlog")});
  if (run.exit_code != 0) return Status(Code::kIo, "the restore failed: " + run.err);
  const nlohmann::json receipt = nlohmann::json::parse(run.out, nullptr, false);
  const Status compared = CompareData(rig, workload, receipt);
  // No child of ours: it lives on unless it is ended here.
  const auto pid = receipt.at("target").at("mysqld_pid").get<pid_t>();
  ::kill(pid, SIGKILL);
  (void)testing::WaitUntil([pid] { return ::kill(pid, 0) != 0; }, kGoneMs);
  return compared;
}

}  // namespace

void CheckEnd(Rig& rig, const Workload& workload) {
  const auto check = [&](const char* what, const Status& status) {
    if (!status.ok()) rig.report().Violation(std::string(what) + ": " + status.message());
  };
  CheckSets(rig, workload);
  for (const std::string& difference : [&] {
         auto connection = rig.primary().Connect();
         return connection.ok() ? workload.CompareLedger(**connection)
                                : std::vector<std::string>{connection.error().message()};
       }())
    rig.report().Violation("primary: " + difference);
  const testing::ProgramResult verified = rig.Pitr({"verify"});
  if (verified.exit_code != 0)
    rig.report().Violation("pitr verify: " + verified.out + verified.err);
  check("index", CompareIndex(rig));
  rig.report().Say("archive verified, index equals a rebuild; restoring");
  check("restore", CheckRestore(rig, workload));
}

}  // namespace tidemark::soak
