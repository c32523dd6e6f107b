// Binlog files of a real server, purged before they were archived and found again: `pitr import`
// fills the gap, and what could not be restored can be.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/e2e/archived_primary.h"

namespace tidemark::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class ImportTest : public ::testing::Test {
 protected:
  ImportTest() { fs::create_directory(found()); }

  std::string found() const { return scene_.directory.Path("found"); }
  void Execute(const std::string& sql) {
    const Status status = scene_.primary->Execute(sql);
    ASSERT_TRUE(status.ok()) << status.message();
  }
  void Insert(int rows) {
    for (int i = 0; i < rows; ++i)
      Execute(
          "INSERT INTO d.t (filler) VALUES (REPEAT(RANDOM_BYTES(1000), 2)), (RANDOM_BYTES(10))");
  }
  std::string LastFileOf(MySqlServer& server) {
    auto rows = server.Query("SHOW BINARY LOGS");
    return rows.ok() ? rows->back()[0] : "";
  }
  // What `server` has, but for the file it writes.
  std::vector<std::string> CopyFiles(MySqlServer& server) {
    std::vector<std::string> copies;
    const std::string last = LastFileOf(server);
    auto rows = server.Query("SHOW BINARY LOGS");
    for (const auto& row : *rows) {
      if (row[0] == last) continue;
      copies.push_back(found() + "/" + row[0]);
      fs::copy_file(server.data_directory() + "/" + row[0], copies.back(),
                    fs::copy_options::overwrite_existing);
    }
    return copies;
  }
  void PurgeAll() {
    Execute("FLUSH BINARY LOGS");
    Execute("PURGE BINARY LOGS TO '" + LastFileOf(*scene_.primary) + "'");
  }
  // Archived is the beginning, in the middle of a file; then some files are written and purged
  // while nobody archives, and what comes behind is archived again.
  void MakeGap(int rows) {
    Execute("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY AUTO_INCREMENT, filler BLOB)");
    scene_.StartDaemon();
    Insert(5);
    scene_.CatchUp();
    dump_ = scene_.Dump("base.sql");
    scene_.StopDaemon();
    before_ = scene_.Executed();
    for (int file = 0; file < 3; ++file) {
      Insert(rows);
      Execute("FLUSH BINARY LOGS");
    }
    Execute("ALTER TABLE d.t ADD COLUMN n INT DEFAULT 7");
    Execute("FLUSH BINARY LOGS");
    lost_ = scene_.Executed().Minus(before_);
    copies_ = CopyFiles(*scene_.primary);
    PurgeAll();
    Insert(3);
    scene_.StartDaemon("adopt_purged = true");
    scene_.CatchUp();
  }
  PitrResult Import(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--archive", scene_.archive(), "--json", "import"});
    return RunPitr(std::move(arguments));
  }
  PitrResult Ask(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--archive", scene_.archive(), "--json"});
    return RunPitr(std::move(arguments));
  }
  Json Gaps() { return Ask({"gap", "list"}).json.at("gaps"); }
  GtidSet Missing() {
    GtidSet missing;
    for (const Json& gap : Gaps())
      missing.Add(*GtidSet::Parse(gap.at("missing").get<std::string>()));
    return missing;
  }
  void ExpectVerified() {
    const PitrResult verified = Ask({"verify"});
    EXPECT_EQ(verified.exit_code, 0) << verified.message();
  }
  std::string Checksum(Connection& sql) {
    auto value = sql.Query("CHECKSUM TABLE d.t");
    return value.ok() ? value->front()[1] : value.error().message();
  }
  void ExpectRestoreAcrossTheGap(const std::string& name) {
    const PitrResult restored = RunPitr(ArchivedPrimary::WithTools({
        "--archive",
        scene_.archive(),
        "--json",
        "restore",
        "--into",
        scene_.directory.Path(name),
        "--mysqld",
        MySqlProgram("mysqld"),
        "--dump",
        dump_,
        "--latest",
    }));
    ASSERT_EQ(restored.exit_code, 0) << restored.message();
    RestoredServer server(restored.json);
    EXPECT_EQ(server.Executed(), scene_.Executed());
    auto connection = scene_.primary->Connect();
    ASSERT_TRUE(connection.ok());
    EXPECT_EQ(Checksum(server.sql()), Checksum(**connection));
  }

  ArchivedPrimary scene_;
  std::string dump_;
  std::vector<std::string> copies_;
  GtidSet before_;  // what is archived in front of the gap
  GtidSet lost_;
};

TEST_F(ImportTest, AGapIsFilledFromCopiesAndRestoredAcross) {
  MakeGap(20);
  ASSERT_EQ(Missing(), lost_);
  // Only who has the archive to himself may import; anybody may ask what it would do.
  PitrResult result = Import(copies_);
  EXPECT_EQ(result.exit_code, 9) << result.message();
  EXPECT_THAT(result.err, HasSubstr("stop tidemarkd"));
  std::vector<std::string> dry = copies_;
  dry.push_back("--dry-run");
  result = Import(dry);
  ASSERT_EQ(result.exit_code, 0) << result.message();
  EXPECT_EQ(*GtidSet::Parse(result.json.at("imported").get<std::string>()), lost_);
  EXPECT_EQ(Missing(), lost_);
  EXPECT_EQ(RunPitr({"--server", "unix:/nowhere", "import", copies_[0]}).exit_code, 2);
  scene_.StopDaemon();
  const PitrResult refused = Ask({"plan", "--dump", dump_, "--latest"});
  EXPECT_EQ(refused.exit_code, 4) << refused.message();

  result = Import(copies_);
  ASSERT_EQ(result.exit_code, 0) << result.message();
  EXPECT_EQ(*GtidSet::Parse(result.json.at("imported").get<std::string>()), lost_);
  EXPECT_THAT(result.json.at("gaps"), SizeIs(0));
  EXPECT_THAT(result.json.at("warnings"), SizeIs(0)) << result.err;
  ExpectVerified();
  EXPECT_THAT(Gaps(), SizeIs(0));
  for (const std::string& copy : copies_) {
    const std::string exported = scene_.directory.Path("exported");
    ProgramOptions to_file;
    to_file.stdout_file = exported;
    const auto run = RunPitr(
        {"--archive", scene_.archive(), "export", "--source-file", fs::path(copy).filename()},
        to_file);
    // (The template's own first files were there before the first contact, and hold nothing.)
    if (run.exit_code == 13) continue;
    EXPECT_EQ(run.exit_code, 0) << run.message();
    EXPECT_TRUE(ReadWholeFile(exported) == ReadWholeFile(copy)) << copy;
  }
  ExpectRestoreAcrossTheGap("restored");

  // The daemon goes on where it stopped, and sees the archive whole.
  scene_.StartDaemon();
  Insert(2);
  scene_.CatchUp();
  scene_.StopDaemon();
  ExpectVerified();
  EXPECT_THAT(Gaps(), SizeIs(0));
  EXPECT_EQ(Ask({"index", "rebuild"}).exit_code, 0);
  ExpectVerified();
}

TEST_F(ImportTest, PiecesComeInAnyOrderAndAKilledImportIsDoneAgain) {
  MakeGap(400);
  scene_.StopDaemon();
  std::vector<std::string> last(copies_.end() - 2, copies_.end());
  PitrResult result = Import(last);
  ASSERT_EQ(result.exit_code, 0) << result.message();
  ASSERT_THAT(result.json.at("gaps"), SizeIs(1));
  const GtidSet missing = Missing();
  EXPECT_TRUE(missing.IsSubsetOf(lost_) && missing != lost_);
  ExpectVerified();
  EXPECT_EQ(Ask({"plan", "--dump", dump_, "--latest"}).exit_code, 4);

  const auto names = [this] {
    size_t count = 0;
    for (const auto& entry : fs::directory_iterator(scene_.archive() + "/main/segments"))
      count += entry.path().native().ends_with(".binlog.zst") ||
               entry.path().native().ends_with(".import.new");
    return count;
  };
  size_t killed = 0;
  for (size_t more = 1; more <= 2; ++more) {
    const size_t goal = names() + more;
    std::vector<std::string> arguments = {TidemarkProgram("pitr"), "--archive", scene_.archive(),
                                          "import"};
    arguments.insert(arguments.end(), copies_.begin(), copies_.end());
    auto import = BackgroundProgram::Start(arguments, scene_.directory.Path("import.log"));
    ASSERT_TRUE(import.ok());
    (void)(*import)->WaitUntil([&] { return names() >= goal; });
    killed += (*import)->Running();
    (*import)->Kill(SIGKILL);
    EXPECT_TRUE((*import)->Wait().ok());
  }
  EXPECT_GT(killed, 0u);
  result = Import(copies_);
  ASSERT_EQ(result.exit_code, 0) << result.message();
  EXPECT_THAT(Gaps(), SizeIs(0));
  ExpectVerified();
  ExpectRestoreAcrossTheGap("restored");
}

// What is left if it is killed behind the last rename, and what others see while it runs.
TEST_F(ImportTest, BeforeTheIndexKnowsOfAnImportTheArchiveIsWhatItWas) {
  MakeGap(3);
  scene_.StopDaemon();
  const std::string index = scene_.archive() + "/index", saved = scene_.directory.Path("saved");
  fs::copy(index, saved, fs::copy_options::recursive);
  ASSERT_EQ(Import(copies_).exit_code, 0);
  fs::remove_all(index);
  fs::rename(saved, index);
  EXPECT_EQ(Missing(), lost_);
  EXPECT_EQ(Ask({"plan", "--dump", dump_, "--latest"}).exit_code, 4);
  EXPECT_EQ(Ask({"status"}).exit_code, 0);
  const PitrResult verified = Ask({"verify"});
  EXPECT_EQ(verified.exit_code, 0) << verified.message();
  EXPECT_GT(verified.json.at("sources")[0].at("not_indexed_yet"), 0);
  EXPECT_THAT(scene_.Pitr({"verify"}).out, HasSubstr("not in the index yet"));
  const PitrResult again = Import(copies_);
  EXPECT_EQ(again.exit_code, 0) << again.message();
  EXPECT_THAT(Gaps(), SizeIs(0));
  ExpectVerified();
  ExpectRestoreAcrossTheGap("restored");
}

TEST_F(ImportTest, NothingIsBroughtBackOnTopOfAGapUnasked) {
  MakeGap(3);
  auto behind = MySqlServer::Start();
  ASSERT_TRUE(behind.ok());
  ASSERT_TRUE((*behind)
                  ->Execute("RESET BINARY LOGS AND GTIDS; SET GLOBAL gtid_purged = '" +
                            before_.ToString() + "'")
                  .ok());
  const std::string host = "127.0.0.1:" + std::to_string((*behind)->port());
  const PitrResult refused = Ask({"rescue", "--missing-on", host, "--user", "root", "--apply"});
  EXPECT_EQ(refused.exit_code, 4) << refused.message();
  EXPECT_THAT(refused.err, HasSubstr("is on neither"));
  EXPECT_THAT(refused.err, HasSubstr("pitr import"));
  EXPECT_EQ(refused.json.at("out_of_reach"), lost_.ToString());
  EXPECT_EQ(refused.json.at("newer"), "");
  EXPECT_EQ(*(*behind)->QueryValue("SELECT @@GLOBAL.gtid_executed"), before_.ToString());
}

TEST_F(ImportTest, AReplicasFilesFillTheGapToo) {
  auto replica = MySqlServer::Start();
  ASSERT_TRUE(replica.ok());
  Execute("CREATE USER repl@'%' IDENTIFIED BY 'r'; GRANT REPLICATION SLAVE ON *.* TO repl@'%'");
  ASSERT_TRUE((*replica)
                  ->Execute("RESET BINARY LOGS AND GTIDS; CHANGE REPLICATION SOURCE TO "
                            "SOURCE_HOST = '127.0.0.1', SOURCE_PORT = " +
                            std::to_string(scene_.primary->port()) +
                            ", SOURCE_USER = 'repl', SOURCE_PASSWORD = 'r', "
                            "GET_SOURCE_PUBLIC_KEY = 1, SOURCE_AUTO_POSITION = 1; START REPLICA")
                  .ok());
  MakeGap(20);
  scene_.StopDaemon();
  ASSERT_TRUE(
      (*replica)->Query("SELECT WAIT_FOR_EXECUTED_GTID_SET('" + lost_.ToString() + "', 30)").ok());
  // Its relay logs are no binary logs, whatever they hold.
  for (const auto& entry : fs::directory_iterator((*replica)->data_directory())) {
    const std::string name = entry.path().filename();
    if (name.find("relay-bin.0") == std::string::npos) continue;
    const PitrResult relay = Import({entry.path()});
    EXPECT_EQ(relay.exit_code, 15) << relay.message();
    EXPECT_THAT(relay.err, HasSubstr("relay log"));
  }
  ASSERT_TRUE((*replica)->Execute("FLUSH BINARY LOGS").ok());
  const std::vector<std::string> files = CopyFiles(**replica);
  PitrResult result = Import(files);
  EXPECT_EQ(result.exit_code, 2) << result.message();
  EXPECT_THAT(result.err, HasSubstr("--server-uuid"));
  std::vector<std::string> named = files;
  const std::string uuid = *(*replica)->QueryValue("SELECT @@GLOBAL.server_uuid");
  named.insert(named.end(), {"--server-uuid", uuid});
  result = Import(named);
  // It has gone on with the source: what the archive has not is the daemon's to archive.
  ASSERT_EQ(result.exit_code, 0) << result.message();
  EXPECT_THAT(Gaps(), SizeIs(0));
  // Nobody took the source's place.
  EXPECT_THAT(scene_.Pitr({"timeline"}).out, ::testing::Not(HasSubstr("instead of")));
  ExpectVerified();
  ExpectRestoreAcrossTheGap("restored");
}

TEST_F(ImportTest, WhatIsNoFileOfTheGapIsRefusedByOneClearError) {
  MakeGap(3);
  scene_.StopDaemon();
  const std::string whole = copies_[copies_.size() - 2];
  const std::string bytes = ReadWholeFile(whole);
  const auto expect = [&](const std::string& path, int exit_code, const std::string& what) {
    const PitrResult result = Import({path});
    EXPECT_EQ(result.exit_code, exit_code) << path << ": " << result.message();
    EXPECT_THAT(result.err, HasSubstr(what));
    EXPECT_THAT(result.err, HasSubstr("hint: "));
    EXPECT_EQ(Missing(), lost_);
  };
  const auto put = [this](const std::string& name, const std::string& contents) {
    const std::string path = found() + "/" + name;
    std::ofstream(path, std::ios::binary) << contents;
    return path;
  };
  expect(found(), 2, "is a directory");
  expect(found() + "/nothing", 13, "does not exist");
  fs::create_symlink(whole, found() + "/link.000001");
  expect(found() + "/link.000001", 2, "symbolic link");
  ASSERT_EQ(::mkfifo((found() + "/fifo.000001").c_str(), 0600), 0);
  expect(found() + "/fifo.000001", 2, "a pipe");
  expect(put("binlog.900001", ""), 5, "is empty");
  expect(put("binlog.900002", bytes.substr(0, bytes.size() - 70)), 5, "inside");
  std::string flipped = bytes;
  flipped[flipped.size() / 2] ^= 4;
  expect(put("binlog.900003", flipped), 5, "find another copy");
  expect(put("binlog.900004", "\xfd" + bytes.substr(1)), 15, "encrypted");
  expect(put("notes.txt", "what is this"), 15, "no binary log");
  expect(put("copy-of-it", bytes), 2, "binlog.000042");
  ASSERT_EQ(Import({whole}).exit_code, 0);
  EXPECT_NE(Missing(), lost_);
  ExpectVerified();
}

}  // namespace
}  // namespace tidemark::testing
