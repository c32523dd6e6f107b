// Every kind of bad input: its own exit code, one clear sentence with a hint, and nothing
// half-written left behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "replication/base/bytes.h"
#include "replication/base/checksum.h"
#include "tests/e2e/archived_primary.h"

namespace tidemark::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// tools/README.md
constexpr int kUsage = 2, kUnreachable = 3, kGap = 4, kCorruption = 5, kSourceRefused = 6,
              kTargetRefused = 7, kInterrupted = 10, kIo = 11, kNotFound = 13, kDiskFull = 14,
              kUnsupportedFormat = 15, kBadBackup = 16, kSourceUnavailable = 17;

// An archive that begins behind the primary's first transactions and has a gap in its middle:
//   1..a purged, too_early.sql, archived (base.sql somewhere), gap, archived (after_gap.sql)
// The daemon is stopped, or archives nothing: what follows looks at the archive, or at damaged
// copies of it.
struct ErrorsScene {
  static ErrorsScene& Get() {
    static ErrorsScene scene;
    return scene;
  }
  ErrorsScene() {
    Sql("CREATE DATABASE app; CREATE TABLE app.t (id INT PRIMARY KEY AUTO_INCREMENT, v "
        "VARCHAR(100))");
    too_early = rig.Dump("too_early.sql");
    before_archive = Insert();
    Sql("FLUSH BINARY LOGS; PURGE BINARY LOGS TO 'binlog.000002'");
    rig.StartDaemon("adopt_purged = true");
    archived = Insert();
    Sql("FLUSH BINARY LOGS");
    base = rig.Dump("base.sql");
    for (int i = 0; i < 20; ++i) wanted = Insert();
    for (int i = 0; i < 20; ++i) Insert();
    rig.CatchUp();
    rig.StopDaemon();
    in_gap = Insert();
    Sql("FLUSH BINARY LOGS");
    const std::string current = (*rig.primary->Query("SHOW BINARY LOG STATUS"))[0][0];
    Sql("PURGE BINARY LOGS TO '" + current + "'");
    rig.StartDaemon("adopt_purged = true");
    behind_gap = Insert();
    after_gap = rig.Dump("after_gap.sql");
    latest = Insert();
    rig.CatchUp();
    rig.StopDaemon();
    not_archived = Insert();
    rig.AnswerWithoutPrimary();
  }
  void Sql(const std::string& sql) {
    const Status status = rig.primary->Execute(sql);
    if (!status.ok()) std::fprintf(stderr, "%s\n", status.message().c_str());
    TM_CHECK(status.ok());
  }
  std::string Insert() {
    const GtidSet before = rig.Executed();
    Sql("INSERT INTO app.t (v) VALUES (REPEAT('v', 100))");
    return rig.LastOf(before).ToString();
  }

  ArchivedPrimary rig;
  std::string too_early, base, after_gap;                                                  // dumps
  std::string before_archive, archived, wanted, in_gap, behind_gap, latest, not_archived;  // GTIDs
};

class PitrErrorsTest : public ::testing::Test {
 protected:
  // Runs as text and as JSON: both tell the same, in the form that scripts rely on.
  static void ExpectRefused(const std::vector<std::string>& arguments, int exit_code,
                            const std::string& words) {
    SCOPED_TRACE(::testing::PrintToString(arguments));
    const PitrResult text = RunPitr(arguments);
    EXPECT_EQ(text.exit_code, exit_code) << text.message();
    EXPECT_THAT(text.err, HasSubstr(words));
    EXPECT_THAT(text.err, ::testing::ContainsRegex(
                              "(^|\n)pitr: ([A-Z]{2}|[^A-Z \n])[^\n]*\n(hint: [^\n]+\n)?$"))
        << "one sentence and a hint";
    std::vector<std::string> with_json = arguments;
    with_json.insert(with_json.begin(), "--json");
    const PitrResult json = RunPitr(with_json);
    EXPECT_EQ(json.exit_code, exit_code);
    ASSERT_FALSE(json.json.is_discarded()) << "not one JSON document: " << json.out;
    if (!json.json.contains("error")) {  // verify and check report what they found, and then fail
      EXPECT_TRUE(json.json.contains("sources") || json.json.contains("findings")) << json.out;
      return;
    }
    EXPECT_EQ(json.json["error"].at("exit_code"), exit_code);
    EXPECT_THAT(json.json["error"].at("message").get<std::string>(), HasSubstr(words));
    EXPECT_TRUE(json.json["error"].contains("code") && json.json["error"].contains("hint"));
  }
  void Refused(std::vector<std::string> arguments, int exit_code, const std::string& words) {
    const std::vector<std::string> where = rig_.Where();
    arguments.insert(arguments.begin(), where.begin(), where.end());
    ExpectRefused(arguments, exit_code, words);
  }
  // A copy of the archive to be damaged.
  std::string Copy() {
    const std::string copy = directory_.Path("archive");
    fs::copy(rig_.archive(), copy, fs::copy_options::recursive);
    return copy;
  }
  // The segment that holds `wanted`.
  std::string SegmentOf(const std::string& archive, const std::string& gtid) {
    const PitrResult located = rig_.PitrJson({"locate", "--gtid", gtid});
    EXPECT_EQ(located.exit_code, 0) << located.message();
    char name[64];
    std::snprintf(name, sizeof name, "/main/segments/%010u.binlog.zst",
                  located.json.at("found").at("segment").get<unsigned>());
    return archive + name;
  }
  static void Overwrite(const std::string& path, const std::string& contents) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << contents;
  }
  std::string File(const std::string& name, const std::string& contents) {
    Overwrite(directory_.Path(name), contents);
    return directory_.Path(name);
  }
  // What reads the archive's bytes must refuse them, whoever asks.
  void ExpectDamaged(const std::string& archive, int exit_code, const std::string& words) {
    ExpectRefused({"--archive", archive, "verify"}, exit_code, words);
    const std::string output = directory_.Path("export.binlog");
    ExpectRefused({"--archive", archive, "export", "--latest", "--output", output}, exit_code, "");
    EXPECT_FALSE(fs::exists(output));
    EXPECT_FALSE(fs::exists(output + ".partial"));
  }

  ErrorsScene& scene_ = ErrorsScene::Get();
  ArchivedPrimary& rig_ = scene_.rig;
  TempDir directory_{"tidemark-errors"};
};

TEST_F(PitrErrorsTest, CommandLine) {
  Refused({"plan", "--before-time", "2026-11-21T14:03:07", "--from-nothing"}, kUsage,
          "has no zone");
  Refused({"plan", "--before-time", "yesterday", "--from-nothing"}, kUsage,
          "'yesterday' is not a time");
  Refused({"plan", "--before-time", "2026-02-30T00:00:00Z", "--from-nothing"}, kUsage,
          "no such date");
  Refused({"locate", "--gtid", "3E11FA47-71CA-11E1-9E33:23"}, kUsage, "3E11FA47-71CA-11E1-9E33:23");
  Refused({"locate", "--gtid", scene_.wanted + "-900000"}, kUsage, "");
  Refused({"plan", "--latest", "--base-gtids", "nonsense"}, kUsage, "nonsense");
  Refused({"locate", "--position", "binlog.000001"}, kUsage, "is not FILE:POSITION");
  Refused({"plan", "--latest"}, kUsage, "");
  Refused({"plan", "--latest", "--before-gtid", scene_.wanted, "--from-nothing"}, kUsage, "");
  Refused({"restore", "--latest", "--dump", scene_.base}, kUsage, "no target is named");
  Refused({"restore", "--latest", "--into", directory_.Path("new")}, kUsage, "base backup");
  Refused({"no-such-command"}, kUsage, "");
  Refused({"status", "--no-such-flag"}, kUsage, "--no-such-flag");
  EXPECT_TRUE(fs::is_empty(directory_.path()));
}

TEST_F(PitrErrorsTest, ServerNotThereOrNotNeeded) {
  const std::string nowhere = "unix:" + directory_.Path("nowhere.sock");
  for (const char* command : {"status", "segments", "timeline", "verify"}) {
    ExpectRefused({"--server", nowhere, command}, kSourceUnavailable, nowhere);
    EXPECT_THAT(RunPitr({"--server", nowhere, command}).err, HasSubstr("does tidemarkd run there"));
  }
  ExpectRefused({"--server", nowhere, "index", "rebuild"}, kSourceUnavailable, nowhere);
  ExpectRefused({"--server", nowhere, "check", "--socket", rig_.primary->socket()}, kUsage,
                "the MySQL source itself");
  ExpectRefused({"--server", nowhere, "--archive", rig_.archive(), "status"}, kUsage, "contradict");
  ExpectRefused({"--server", "nowhere", "status"}, kUsage, "nowhere");
}

TEST_F(PitrErrorsTest, ArchiveOrSourceNotThere) {
  const std::string nowhere = directory_.Path("nowhere");
  for (const char* command : {"status", "segments", "timeline", "verify"})
    ExpectRefused({"--archive", nowhere, command}, kNotFound, nowhere);
  ExpectRefused({"--archive", nowhere, "index", "rebuild"}, kNotFound, nowhere);
  EXPECT_FALSE(fs::exists(nowhere));
  Refused({"--source", "nobody", "status"}, kNotFound, "'nobody'");
  Refused({"--source", "../main", "status"}, kUsage, "../main");
  if (AsksServer()) return;  // what follows needs an archive of two sources
  const std::string archive = Copy();
  fs::copy(archive + "/main", archive + "/other", fs::copy_options::recursive);
  ExpectRefused({"--archive", archive, "locate", "--gtid", scene_.wanted}, kUsage,
                "more than one source: main, other");
}

TEST_F(PitrErrorsTest, TargetsThatCannotBeReached) {
  const std::string base = scene_.base;
  Refused({"plan", "--through-gtid", scene_.archived, "--dump", scene_.after_gap}, kUnreachable,
          "beyond");
  Refused({"plan", "--before-gtid", scene_.archived, "--dump", base}, kUnreachable,
          scene_.archived.substr(0, 36));
  Refused({"plan", "--through-gtid", scene_.before_archive, "--dump", base}, kUnreachable,
          "before the start");
  Refused({"plan", "--through-gtid", scene_.not_archived, "--dump", base}, kUnreachable,
          "after the end");
  Refused({"plan", "--through-time", "2099-01-01T00:00:00Z", "--dump", base}, kUnreachable,
          "past the archive's end");
  Refused({"plan", "--through-gtid", "99999999-0000-0000-0000-000000000001:1", "--dump", base},
          kUnreachable, "never saw");
  Refused({"plan", "--through-gtid", scene_.in_gap, "--dump", base}, kGap, "gap");
  Refused({"plan", "--through-gtid", scene_.behind_gap, "--dump", base}, kGap, scene_.in_gap);
  Refused({"plan", "--latest", "--dump", scene_.too_early}, kGap, scene_.in_gap);
  Refused({"plan", "--through-gtid", scene_.wanted, "--dump", scene_.too_early}, kUnreachable,
          scene_.before_archive);
  Refused({"locate", "--gtid", scene_.in_gap}, kGap, "gap");
  Refused({"locate", "--gtid", scene_.not_archived}, kNotFound, "after the end");
  const PitrResult around = rig_.PitrJson({"plan", "--latest", "--dump", scene_.after_gap});
  EXPECT_EQ(around.exit_code, 0) << "a base behind the gap goes round it: " << around.message();
}

TEST_F(PitrErrorsTest, Dumps) {
  const std::string whole = ReadWholeFile(scene_.base);
  const auto plan = [&](const std::string& dump) {
    return std::vector<std::string>{"plan", "--through-gtid", scene_.wanted, "--dump", dump};
  };
  Refused(plan(directory_.Path("nowhere.sql")), kNotFound, "nowhere.sql");
  Refused(plan(directory_.path()), kIo, directory_.path());
  Refused(plan(File("empty.sql", "")), kBadBackup, "empty.sql");
  Refused(plan(File("short.sql", whole.substr(0, whole.size() / 2))), kBadBackup, "cut short");
  Refused(plan(File("noise.sql", std::string(5000, '\x01'))), kBadBackup, "noise.sql");
  Refused(plan(File("fake.sql.gz", "\x1f\x8b" + std::string(100, 'x'))), kBadBackup, "fake.sql.gz");
  const auto dump = [&](const std::string& name, const std::vector<std::string>& options) {
    std::vector<std::string> argv = {MySqlProgram("mysqldump"),
                                     "--no-defaults",
                                     "--user=root",
                                     "--socket=" + rig_.primary->socket(),
                                     "--single-transaction",
                                     "--databases",
                                     "app"};
    argv.insert(argv.end(), options.begin(), options.end());
    ProgramOptions run;
    run.stdout_file = directory_.Path(name);
    EXPECT_EQ(RunProgram(argv, run)->exit_code, 0);
    return run.stdout_file;
  };
  Refused(plan(dump("none.sql", {"--set-gtid-purged=OFF"})), kBadBackup, "none.sql");
  // Legal forms of the coordinate: commented out, over several lines, empty.
  const size_t at = whole.find("SET @@GLOBAL.GTID_PURGED="), end = whole.find('\n', at);
  ASSERT_NE(at, std::string::npos);
  const std::string statement = whole.substr(at, end - at), uuid = scene_.wanted.substr(0, 36);
  const auto with = [&](const std::string& text) {
    return whole.substr(0, at) + text + whole.substr(end);
  };
  const std::string old_form = "SET @@GLOBAL.GTID_PURGED='" + uuid + ":1-4';";
  for (const std::string& form :
       {statement, old_form, "/* " + old_form + "*/", "-- " + statement, "# " + statement,
        "SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ '" + uuid + ":1-2,\n" + uuid + ":3-4';"}) {
    const PitrResult accepted = rig_.PitrJson(plan(File("form.sql", with(form))));
    EXPECT_EQ(accepted.exit_code, 0) << form << accepted.message();
  }
  // MySQL's comments do not nest: this one ends in the middle of the statement.
  Refused(plan(File("set-cut.sql", with("/* " + statement + "*/"))), kBadBackup, "cut apart");
  Refused(plan(File("set-empty.sql", with("SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ '';"))),
          kUnreachable, scene_.before_archive.substr(0, 36));
  Refused(plan(File("set-broken.sql", with("SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ 'zzz';"))),
          kBadBackup, "set-broken.sql");
}

TEST_F(PitrErrorsTest, DamagedSegments) {
  if (AsksServer()) GTEST_SKIP() << "damages an archive that no daemon holds";
  const std::string archive = Copy(), segment = SegmentOf(archive, scene_.wanted),
                    whole = ReadWholeFile(segment);
  // It is the second behind a gap, and that leaves room in the numbers.
  const std::string name =
      "segment " + std::to_string(std::stoull(fs::path(segment).filename().string()));
  Overwrite(segment, whole.substr(0, whole.size() * 2 / 3));
  ExpectDamaged(archive, kCorruption, name);
  std::string flipped = whole;
  flipped[whole.size() / 2] = static_cast<char>(flipped[whole.size() / 2] ^ 0x10);
  Overwrite(segment, flipped);
  ExpectDamaged(archive, kCorruption, name);
  Overwrite(segment, "this is a shopping list, and no segment at all");
  ExpectDamaged(archive, kUnsupportedFormat, name);
  std::string newer = whole;
  newer[16] = 2;
  const size_t header_bytes =
      8 + LoadLittleEndian(reinterpret_cast<const uint8_t*>(newer.data()) + 4, 4);
  const uint32_t crc =
      Crc32(0, Bytes(reinterpret_cast<const uint8_t*>(newer.data()), header_bytes - 4));
  for (size_t i = 0; i < 4; ++i) newer[header_bytes - 4 + i] = static_cast<char>(crc >> (8 * i));
  Overwrite(segment, newer);
  ExpectDamaged(archive, kUnsupportedFormat, "version");
  Overwrite(segment, "");
  ExpectDamaged(archive, kCorruption, "");
  fs::remove(segment);
  ExpectRefused({"--archive", archive, "status"}, kCorruption, segment);
  ExpectRefused({"--archive", archive, "verify"}, kIo, segment);
  Overwrite(segment, whole);
  EXPECT_EQ(RunPitr({"--archive", archive, "verify"}).exit_code, 0);
  // A file that is none of ours is named, and is in nobody's way.
  Overwrite(fs::path(segment).parent_path().string() + "/notes.txt", "buy milk");
  ExpectRefused({"--archive", archive, "verify"}, kUnsupportedFormat, "notes.txt");
  EXPECT_EQ(RunPitr({"--archive", archive, "status"}).exit_code, 0);
}

TEST_F(PitrErrorsTest, IndexLostOrDamagedIsMadeAnew) {
  if (AsksServer()) GTEST_SKIP() << "index rebuild works on the archive's files only";
  const std::string archive = Copy();
  const PitrResult before = RunPitr({"--json", "--archive", archive, "status"});
  fs::remove_all(archive + "/index");
  ExpectRefused({"--archive", archive, "locate", "--gtid", scene_.wanted}, kNotFound, "index");
  EXPECT_THAT(RunPitr({"--archive", archive, "status"}).err, HasSubstr("pitr index rebuild"));
  ASSERT_EQ(RunPitr({"--archive", archive, "index", "rebuild"}).exit_code, 0);
  EXPECT_EQ(RunPitr({"--json", "--archive", archive, "status"}).out, before.out);
  for (const auto& file : fs::directory_iterator(archive + "/index"))
    if (file.path().filename().string().starts_with("MANIFEST")) Overwrite(file.path(), "garbage");
  ExpectRefused({"--archive", archive, "locate", "--gtid", scene_.wanted}, kCorruption, "index");
  EXPECT_THAT(RunPitr({"--archive", archive, "status"}).err, HasSubstr("pitr index rebuild"));
  ASSERT_EQ(RunPitr({"--archive", archive, "index", "rebuild"}).exit_code, 0);
  EXPECT_EQ(RunPitr({"--json", "--archive", archive, "status"}).out, before.out);
}

// RocksDB's log is not synced: after the machine went down the index may be of an earlier moment
// than the segments.
TEST_F(PitrErrorsTest, AnIndexFromBeforeTheMachineWentDown) {
  if (AsksServer()) GTEST_SKIP() << "tidemarkd brings its index up to date before it answers";
  ArchivedPrimary rig;
  rig.StartDaemon();
  ASSERT_TRUE(rig.primary->Execute("CREATE DATABASE d; CREATE TABLE d.t (a INT)").ok());
  rig.CatchUp();
  const std::string index = rig.archive() + "/index";
  fs::copy(index, directory_.Path("earlier"), fs::copy_options::recursive);
  const GtidSet before = rig.Executed();
  ASSERT_TRUE(rig.primary->Execute("INSERT INTO d.t VALUES (1)").ok());
  rig.CatchUp();
  rig.KillDaemon();
  const std::string last = rig.LastOf(before).ToString();
  fs::remove_all(index);
  fs::rename(directory_.Path("earlier"), index);

  ExpectRefused({"--archive", rig.archive(), "plan", "--latest", "--from-nothing"}, kCorruption,
                last);
  ExpectRefused({"--archive", rig.archive(), "export", "--latest"}, kCorruption, last);
  EXPECT_THAT(rig.Pitr({"plan", "--latest", "--from-nothing"}).err, HasSubstr("start it"));
  rig.StartDaemon();
  rig.CatchUp();
  rig.KillDaemon();
  const PitrResult plan = rig.Pitr({"plan", "--latest", "--from-nothing"});
  EXPECT_EQ(plan.exit_code, 0) << plan.message();
}

TEST_F(PitrErrorsTest, CheckOfAPrimary) {
  if (AsksServer()) GTEST_SKIP() << "check asks the primary, never an archive";
  scene_.Sql(
      "SET sql_log_bin = 0; CREATE USER IF NOT EXISTS poor@'%' IDENTIFIED BY 'Poor-1'; "
      "CREATE USER IF NOT EXISTS secure@'%' IDENTIFIED BY 'Secure-1' REQUIRE SSL; SET sql_log_bin "
      "= 1");
  const std::string port = std::to_string(rig_.primary->port());
  const std::string wrong = File("wrong", "Wrong-1\n"), poor = File("poor", "Poor-1\n"),
                    secure = File("secure", "Secure-1\n");
  for (const std::string& path : {wrong, poor, secure})
    fs::permissions(path, fs::perms::owner_read);
  const auto check = [&](const std::string& user, const std::string& password,
                         const std::string& tls) {
    return std::vector<std::string>{"check",  "--host", "127.0.0.1", "--port",
                                    port,     "--user", user,        "--password-file",
                                    password, "--tls",  tls};
  };
  ExpectRefused(check("poor", wrong, "preferred"), kSourceRefused, "refused the login");
  ExpectRefused(check("secure", secure, "disabled"), kSourceRefused, "");
  ExpectRefused(check("poor", poor, "verify-identity"), kUsage, "needs a CA file");
  ExpectRefused(check("poor", poor, "sometimes"), kUsage, "sometimes");
  ExpectRefused(check("poor", directory_.Path("nowhere"), "preferred"), kUsage, "nowhere");
  ExpectRefused({"check", "--socket", directory_.Path("no.sock")}, kSourceUnavailable, "no.sock");
  const PitrResult unfit = RunPitr(check("poor", poor, "preferred"));
  EXPECT_EQ(unfit.exit_code, kSourceRefused) << unfit.message();
  EXPECT_THAT(unfit.out, HasSubstr("GRANT REPLICATION SLAVE"));
  ExpectRefused(check("poor", poor, "preferred"), kSourceRefused, "");
}

TEST_F(PitrErrorsTest, Export) {
  const std::string there = File("there.binlog", "precious");
  Refused({"export", "--latest", "--output", there}, kUsage, "exists already");
  EXPECT_EQ(ReadWholeFile(there), "precious");
  Refused({"export", "--latest", "--output", directory_.Path("no/such/directory/x")}, kNotFound,
          "no/such/directory");
  Refused({"export", "--source-file", "binlog.999999"}, kNotFound, "binlog.999999");
  // A reader that goes away: neither a hang nor a crash.
  const std::string pitr = TidemarkProgram("pitr") + " " + rig_.Where()[0] + " " + rig_.Where()[1];
  const auto piped = RunProgram(
      {"bash", "-c",
       pitr + " export --latest --exclude '' | head -c 4 | xxd -p; exit ${PIPESTATUS[0]}"});
  ASSERT_TRUE(piped.ok());
  EXPECT_TRUE(piped->exit_code == 0 || piped->exit_code == kIo) << piped->exit_code << piped->err;
  EXPECT_EQ(piped->out, "fe62696e\n");
  const auto closed = RunProgram({"bash", "-c", pitr + " export --latest >&-"});
  EXPECT_EQ(closed->exit_code, kIo) << closed->err;
  const auto full = RunProgram({"bash", "-c", pitr + " export --latest >/dev/full"});
  EXPECT_EQ(full->exit_code, kDiskFull) << full->err;
  EXPECT_THAT(full->err, ::testing::StartsWith("pitr: cannot write to standard output: "));
}

TEST_F(PitrErrorsTest, RestoreIntoADirectoryThatHoldsSomething) {
  const std::string into = directory_.Path("into");
  fs::create_directory(into);
  Overwrite(into + "/precious", "data");
  const std::vector<std::string> restore = {"restore", "--through-gtid", scene_.wanted,
                                            "--dump",  scene_.base,      "--into",
                                            into,      "--mysqld",       MySqlProgram("mysqld")};
  Refused(ArchivedPrimary::WithTools(restore), kTargetRefused, "precious");
  EXPECT_EQ(std::distance(fs::directory_iterator(into), fs::directory_iterator()), 1);
  EXPECT_EQ(ReadWholeFile(into + "/precious"), "data");
  std::vector<std::string> no_program = restore;
  *std::find(no_program.begin(), no_program.end(), into) = directory_.Path("new");
  no_program.insert(no_program.end(), {"--applier", "pipe", "--mysql", MySqlProgram("mysql"),
                                       "--mysqlbinlog", "/no/such/mysqlbinlog"});
  Refused(no_program, kUsage, "/no/such/mysqlbinlog");
  EXPECT_FALSE(fs::exists(directory_.Path("new")));
}

TEST_F(PitrErrorsTest, InterruptedRestoreSaysSoAndBeginsAnewWithTheSameCommand) {
  const std::string into = directory_.Path("interrupted");
  const std::vector<std::string> restore = ArchivedPrimary::WithTools(
      {rig_.Where()[0], rig_.Where()[1], "restore", "--through-gtid", scene_.wanted, "--dump",
       scene_.base, "--into", into, "--mysqld", MySqlProgram("mysqld")});
  std::vector<std::string> argv = restore;
  argv.insert(argv.begin(), TidemarkProgram("pitr"));
  auto started = BackgroundProgram::Start(argv, directory_.Path("restore.log"));
  ASSERT_TRUE(started.ok());
  BackgroundProgram& pitr = **started;
  ASSERT_TRUE(pitr.WaitUntil([&] { return fs::exists(into + "/mysqld.pid"); })) << pitr.Output();
  pitr.Kill(SIGINT);
  const auto ended = pitr.Wait();
  ASSERT_TRUE(ended.ok());
  EXPECT_EQ(*ended, kInterrupted) << pitr.Output();
  EXPECT_THAT(pitr.Output(), HasSubstr(into + " is not usable"));
  EXPECT_THAT(pitr.Output(), HasSubstr("the same command"));
  EXPECT_TRUE(fs::exists(into + "/RESTORING"));
  EXPECT_EQ(Json::parse(ReadWholeFile(into + "/receipt.json")).at("outcome"), "interrupted");
  EXPECT_FALSE(fs::exists(into + "/restore.secret"));
  const std::string pid = ReadWholeFile(into + "/mysqld.pid");
  EXPECT_TRUE(pid.empty() || !ProcessRuns(static_cast<pid_t>(std::stol(pid))))
      << "mysqld was left running";
  std::vector<std::string> other = restore;
  *std::find(other.begin(), other.end(), scene_.wanted) = scene_.archived;
  ExpectRefused(other, kTargetRefused, "an unfinished restore of something else");
  std::vector<std::string> again = restore;
  again.insert(again.begin(), "--json");
  const PitrResult run = RunPitr(again);
  ASSERT_EQ(run.exit_code, 0) << run.message();
  ASSERT_FALSE(run.json.is_discarded()) << run.out << run.err;
  EXPECT_EQ(run.json.at("runs"), 2);
  RestoredServer server(run.json);
  const PitrResult once_more = RunPitr(again);
  ASSERT_EQ(once_more.exit_code, 0) << once_more.message();
  ASSERT_FALSE(once_more.json.is_discarded()) << once_more.out << once_more.err;
  EXPECT_EQ(once_more.json.at("gtid_executed"), run.json.at("gtid_executed"));
  EXPECT_EQ(once_more.json.at("target").at("mysqld_pid"), run.json.at("target").at("mysqld_pid"));
}

TEST_F(PitrErrorsTest, PlanNamesWhatStandsInTheWayOfANewServer) {
  const std::vector<std::string> plan = {
      "plan",      "--through-gtid", scene_.wanted,        "--dump",
      scene_.base, "--mysql",        MySqlProgram("mysql")};
  const auto with = [&](const std::string& into, const std::string& mysqld) {
    std::vector<std::string> arguments = plan;
    arguments.insert(arguments.end(), {"--into", into, "--mysqld", mysqld});
    return rig_.PitrJson(arguments);
  };
  const std::string fresh = directory_.Path("fresh"), full = directory_.Path("full");
  const PitrResult fit = with(fresh, MySqlProgram("mysqld"));
  ASSERT_EQ(fit.exit_code, 0) << fit.message();
  EXPECT_TRUE(fit.json.at("blockers").empty());
  EXPECT_GT(fit.json.at("disk").at("free_bytes"), 0);
  EXPECT_GT(fit.json.at("eta").at("seconds"), 0);
  fs::create_directory(full);
  Overwrite(full + "/precious", "data");
  const PitrResult blocked = with(full, "/no/such/mysqld");
  EXPECT_EQ(blocked.exit_code, kTargetRefused) << blocked.message();
  EXPECT_EQ(blocked.json.at("blockers").size(), 2u) << blocked.out;
  EXPECT_EQ(blocked.json.at("error").at("exit_code"), kTargetRefused);
  EXPECT_EQ(blocked.json.at("end_set"), fit.json.at("end_set")) << "the plan is told nevertheless";
  const PitrResult other = with(fresh, MySqlProgram("mysqldump"));
  EXPECT_EQ(other.exit_code, 0) << "a version is all that is known: " << other.message();
  const PitrResult not_one = with(fresh, "/bin/false");
  EXPECT_EQ(not_one.exit_code, kTargetRefused) << not_one.message();
  EXPECT_FALSE(fs::exists(fresh));
}

TEST_F(PitrErrorsTest, SurgeryThatCannotBe) {
  const auto plan = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"plan", "--through-gtid", scene_.wanted, "--dump", scene_.base});
    return more;
  };
  Refused(plan({"--skip-gtid", scene_.latest}), kUsage, scene_.latest);
  Refused(plan({"--leave-out", scene_.archived}), kUsage, scene_.archived);
  Refused(plan({"--skip-gtid", scene_.wanted, "--leave-out", scene_.wanted}), kUsage,
          scene_.wanted);
  Refused(plan({"--only-table", "orders"}), kUsage, "orders");
  Refused(plan({"--applier", "pipe", "--skip-gtid", scene_.wanted}), kUsage, "pipe");
  Refused(plan({"--applier", "carrier-pigeon"}), kUsage, "carrier-pigeon");
  Refused({"restore", "--latest", "--host", "192.0.2.1"}, kUsage, "192.0.2.1");
  Refused({"restore", "--latest", "--resume", "--into", directory_.Path("nowhere")}, kTargetRefused,
          "no restore to go on with");
  const PitrResult skips = rig_.PitrJson(plan({"--skip-gtid", scene_.wanted}));
  ASSERT_EQ(skips.exit_code, 0) << skips.message();
  EXPECT_EQ(skips.json.at("surgery").at("skip"), scene_.wanted);
}

}  // namespace
}  // namespace tidemark::testing
