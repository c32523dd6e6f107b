// tidemarkd while it runs: a new configuration, what it tells its service manager, and one source's
// trouble beside another that has none.
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/e2e/serve_fixture.h"

namespace tidemark {
namespace {

using testing::Daemon;
using testing::ExecutedOn;
using ::testing::HasSubstr;
using testing::MySqlServer;
using ::testing::Not;
using testing::ReadWholeFile;
using testing::StartPrimary;
using testing::TempDir;
using testing::WaitUntil;

// The service manager's end: a datagram socket that the daemon is told of.
class NotifySocket {
 public:
  NotifySocket() : path_(directory_.Path("notify")) {
    socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    TM_CHECK(path_.size() < sizeof address.sun_path);
    std::copy(path_.begin(), path_.end(), address.sun_path);
    TM_CHECK(::bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  ~NotifySocket() { ::close(socket_); }
  const std::string& path() const { return path_; }
  // Everything received so far, one line per message's line.
  const std::string& Received() {
    char buffer[4096];
    for (ssize_t got; (got = ::recv(socket_, buffer, sizeof buffer, 0)) > 0;)
      received_ += std::string(buffer, static_cast<size_t>(got)) + "\n";
    return received_;
  }
  // "READY=1" as a whole line, at least so many times.
  bool WaitForLine(const std::string& line, size_t times = 1) {
    return WaitUntil([&] { return Count(line) >= times; }, testing::kPatienceMs);
  }
  size_t Count(const std::string& line) {
    return testing::Occurrences("\n" + Received(), "\n" + line + "\n");
  }
  bool WaitForText(const std::string& text) {
    return WaitUntil([&] { return Received().find(text) != std::string::npos; },
                     testing::kPatienceMs);
  }

 private:
  TempDir directory_{"tidemark-notify"};
  std::string path_;
  std::string received_;
  int socket_ = -1;
};

void ReloadInto(Daemon& daemon, const std::string& outcome) {
  const size_t before = daemon.TimesInLog(outcome);
  daemon.process().Kill(SIGHUP);
  EXPECT_TRUE(daemon.process().WaitUntil([&] { return daemon.TimesInLog(outcome) > before; }))
      << outcome << "\n"
      << daemon.LogTail();
}

uint64_t Connections(const Daemon& daemon, const std::string& source) {
  const auto json = nlohmann::json::parse(
      ReadWholeFile(daemon.archive() + "/" + source + "/daemon.json"), nullptr, false);
  return json.is_object() ? json.value("connections", uint64_t{0}) : 0;
}

std::string StateOf(const Daemon& daemon, const std::string& source) {
  const nlohmann::json status = daemon.Status(source);
  return status.is_object() && status["daemon"].is_object()
             ? status["daemon"]["state"].get<std::string>()
             : "";
}

// The first segment no longer begins as one.
void Damage(const Daemon& daemon, const std::string& source) {
  const std::string path = daemon.Segments(source).front();
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(3);
  file << "damaged";
}

void InsertInto(MySqlServer& server, const std::string& database) {
  ASSERT_TRUE(server
                  .Execute("CREATE DATABASE IF NOT EXISTS " + database +
                           "; CREATE TABLE IF NOT EXISTS " + database + ".t (a INT); INSERT INTO " +
                           database + ".t VALUES (1)")
                  .ok());
}

TEST(DaemonReload, AddsChangesAndRemovesSourcesWithoutTouchingTheOthers) {
  auto a = StartPrimary(), b = StartPrimary();
  ASSERT_TRUE(a && b);
  InsertInto(*a, "a");
  Daemon daemon;
  daemon.AddSource("a", *a);
  daemon.Start();
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*a), "a")) << daemon.LogTail();

  daemon.AddSource("b", *b);
  daemon.WriteConfig();
  ReloadInto(daemon, "configuration: source b: added");
  EXPECT_TRUE(daemon.WaitFor(ExecutedOn(*b), "b")) << daemon.LogTail();
  EXPECT_TRUE(WaitUntil([&] { return Connections(daemon, "a") == 1; }));

  // b changes: it begins anew, a is not disturbed.
  daemon.ForgetSources();
  daemon.AddSource("a", *a);
  daemon.AddSource("b", *b, "zstd_level = 3");
  const std::string path = daemon.WriteConfig();
  std::string text = ReadWholeFile(path);  // the fixture has counted on
  text.replace(text.find("4200003"), 7, "4200001");
  text.replace(text.find("4200004"), 7, "4200002");
  std::ofstream(path) << text;
  const size_t connected = daemon.TimesInLog("[b] connected");
  ReloadInto(daemon, "configuration: source b: zstd_level: 1 -> 3");
  ASSERT_TRUE(daemon.process().WaitUntil([&] {
    return daemon.TimesInLog("[b] connected") > connected;
  })) << daemon.LogTail();
  InsertInto(*a, "a");
  InsertInto(*b, "b");
  EXPECT_TRUE(daemon.WaitFor(ExecutedOn(*a), "a")) << daemon.LogTail();
  EXPECT_TRUE(daemon.WaitFor(ExecutedOn(*b), "b")) << daemon.LogTail();
  EXPECT_EQ(daemon.TimesInLog("[a] connected"), 1u);

  // a goes; its archive stays.
  const GtidSet archived = daemon.Archived("a");
  text.erase(text.find("[[source]]"), text.rfind("[[source]]") - text.find("[[source]]"));
  std::ofstream(path) << text;
  ReloadInto(daemon, "[a] is no longer archived");
  EXPECT_EQ(StateOf(daemon, "a"), "stopped");
  EXPECT_EQ(daemon.Archived("a"), archived);
  InsertInto(*b, "b");
  EXPECT_TRUE(daemon.WaitFor(ExecutedOn(*b), "b")) << daemon.LogTail();
  EXPECT_EQ(daemon.Stop(), 0);
  daemon.ExpectVerified();
}

TEST(DaemonReload, WrongFileChangesNothingAndQuotesNoSecret) {
  auto a = StartPrimary();
  ASSERT_TRUE(a);
  InsertInto(*a, "a");
  Daemon daemon;
  daemon.AddSource("a", *a);
  daemon.Start();
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*a), "a")) << daemon.LogTail();
  const std::string path = daemon.WriteConfig();
  const std::string good = ReadWholeFile(path);
  const std::string refused = "the new configuration cannot be used, the old one stays: ";
  for (const auto& [more, why] : std::map<std::string, std::string>{
           {"password = \"hunter2\n", "tidemarkd.toml:"},
           {"colour = 1\n", "source.colour is not a setting"},
           {"[serve]\nport = 3307\n[[serve.account]]\nuser = \"u\"\npassword_file = \"/nowhere\"\n",
            "/nowhere"},
           {"[log]\ndestination = \"file\"\nfile = \"/proc/no/such\"\n", "/proc/no/such"}}) {
    SCOPED_TRACE(more);
    std::ofstream(path) << good << more;
    ReloadInto(daemon, refused);
    EXPECT_THAT(daemon.LogTail(), HasSubstr(why));
    InsertInto(*a, "a");
    EXPECT_TRUE(daemon.WaitFor(ExecutedOn(*a), "a")) << daemon.LogTail();
  }
  EXPECT_THAT(ReadWholeFile(daemon.log()), Not(HasSubstr("hunter2")));
  std::ofstream(path) << good;
  ReloadInto(daemon, "the configuration has not changed");
  EXPECT_EQ(daemon.TimesInLog("[a] connected"), 1u);
  // Another archive takes a restart.
  std::string elsewhere = good;
  elsewhere.replace(elsewhere.find("/archive\""), 9, "/another\"");
  std::ofstream(path) << elsewhere;
  ReloadInto(daemon, "only after a restart of tidemarkd");
  InsertInto(*a, "a");
  EXPECT_TRUE(daemon.WaitFor(ExecutedOn(*a), "a")) << daemon.LogTail();
  EXPECT_EQ(daemon.Stop(), 0);
}

TEST(DaemonReload, LogLevelFormatAndDestinationChangeLive) {
  auto a = StartPrimary();
  ASSERT_TRUE(a);
  InsertInto(*a, "a");
  TempDir directory;
  Daemon daemon;
  daemon.AddSource("a", *a);
  daemon.Start();
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*a), "a")) << daemon.LogTail();
  const std::string log = directory.Path("t.log");
  daemon.Configure("[log]\nformat = \"json\"\ndestination = \"file\"\nfile = \"" + log + "\"\n");
  daemon.WriteConfig();
  daemon.process().Kill(SIGHUP);
  ASSERT_TRUE(daemon.process().WaitUntil([&] {
    return ReadWholeFile(log).find("log.format") != std::string::npos;
  })) << daemon.LogTail();
  EXPECT_EQ(daemon.Stop(), 0);
  std::istringstream lines(ReadWholeFile(log));
  for (std::string line; std::getline(lines, line);)
    EXPECT_TRUE(nlohmann::json::parse(line, nullptr, false).is_object()) << line;
  EXPECT_THAT(ReadWholeFile(log), HasSubstr("everything archived is sealed"));
  EXPECT_THAT(ReadWholeFile(daemon.log()), Not(HasSubstr("everything archived is sealed")));
}

TEST(DaemonReload, NewPasswordOfAnAccountIsServedByAtOnce) {
  auto primary = StartPrimary();
  ASSERT_TRUE(primary);
  InsertInto(*primary, "d");
  testing::ServingDaemon daemon;
  daemon.AddSource("main", *primary);
  daemon.Start();
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*primary))) << daemon.LogTail();
  testing::Replica replica(daemon.ChangeSource());
  ASSERT_TRUE(replica.WaitFor(ExecutedOn(*primary))) << replica.Why();
  daemon.Secret("replica.password", "another");
  ReloadInto(daemon, "replica.password has new contents");
  // The old one is refused now; archiving went on.
  ASSERT_TRUE(WaitUntil([&] { return testing::IoError(*replica.server).find("1045") == 0; },
                        testing::kPatienceMs))
      << replica.Why();
  ASSERT_TRUE(replica.server
                  ->Execute("STOP REPLICA; CHANGE REPLICATION SOURCE TO SOURCE_PASSWORD = "
                            "'another'; START REPLICA")
                  .ok());
  InsertInto(*primary, "d");
  EXPECT_TRUE(replica.WaitFor(ExecutedOn(*primary))) << replica.Why();
  EXPECT_TRUE(WaitUntil([&] { return Connections(daemon, "main") == 1; }));
  EXPECT_EQ(daemon.Stop(), 0);
  EXPECT_THAT(ReadWholeFile(daemon.log()), Not(HasSubstr("another\n")));
}

TEST(DaemonNotify, ReadyWatchdogReloadAndStop) {
  auto a = StartPrimary();
  ASSERT_TRUE(a);
  NotifySocket manager;
  ::setenv("NOTIFY_SOCKET", manager.path().c_str(), 1);
  ::setenv("WATCHDOG_USEC", "400000", 1);  // without WATCHDOG_PID: for whoever reads it
  Daemon daemon;
  daemon.AddSource("a", *a);
  daemon.Start();
  ::unsetenv("NOTIFY_SOCKET");
  ::unsetenv("WATCHDOG_USEC");
  ASSERT_TRUE(manager.WaitForLine("READY=1")) << manager.Received() << daemon.LogTail();
  EXPECT_TRUE(manager.WaitForText("STATUS=archiving 1 of 1 sources\n")) << manager.Received();
  const size_t signs = manager.Count("WATCHDOG=1");
  EXPECT_TRUE(manager.WaitForLine("WATCHDOG=1", signs + 3)) << manager.Received();
  EXPECT_EQ(manager.Count("READY=1"), 1u);

  daemon.process().Kill(SIGHUP);
  ASSERT_TRUE(manager.WaitForLine("READY=1", 2)) << manager.Received();
  const size_t reloading = manager.Received().find("RELOADING=1\nMONOTONIC_USEC=");
  ASSERT_NE(reloading, std::string::npos) << manager.Received();
  EXPECT_LT(reloading, manager.Received().rfind("READY=1"));

  // A daemon whose main loop does not run gives no sign of life.
  daemon.process().Kill(SIGSTOP);
  ASSERT_TRUE(WaitUntil([&] {
    const std::string stat =
        ReadWholeFile("/proc/" + std::to_string(daemon.process().pid()) + "/stat");
    return stat.find(") T ") != std::string::npos;
  }));
  const size_t frozen = manager.Count("WATCHDOG=1");
  EXPECT_FALSE(WaitUntil([&] { return manager.Count("WATCHDOG=1") > frozen; }, 1000));
  daemon.process().Kill(SIGCONT);
  EXPECT_TRUE(manager.WaitForLine("WATCHDOG=1", frozen + 1));

  EXPECT_EQ(manager.Count("STOPPING=1"), 0u);
  EXPECT_EQ(daemon.Stop(), 0);
  EXPECT_EQ(manager.Count("STOPPING=1"), 1u);
}

TEST(DaemonFaults, DamagedSourceDoesNotKeepTheOtherFromBeingArchived) {
  auto a = StartPrimary(), b = StartPrimary();
  ASSERT_TRUE(a && b);
  InsertInto(*a, "a");
  InsertInto(*b, "b");
  NotifySocket manager;
  ::setenv("NOTIFY_SOCKET", manager.path().c_str(), 1);
  Daemon daemon;
  daemon.AddSource("a", *a);
  daemon.AddSource("b", *b);
  daemon.Start();
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*a), "a") && daemon.WaitFor(ExecutedOn(*b), "b"))
      << daemon.LogTail();
  EXPECT_EQ(daemon.Stop(), 0);

  const std::string segment = daemon.Segments("a").front();
  const std::string whole = ReadWholeFile(segment);
  Damage(daemon, "a");
  const size_t ready = manager.Count("READY=1");
  daemon.Start();
  ::unsetenv("NOTIFY_SOCKET");
  InsertInto(*b, "b");
  EXPECT_TRUE(daemon.WaitFor(ExecutedOn(*b), "b")) << daemon.LogTail();
  EXPECT_TRUE(manager.WaitForLine("READY=1", ready + 1)) << manager.Received();
  EXPECT_TRUE(manager.WaitForText("archiving 1 of 2 sources; a: cannot-start"))
      << manager.Received();
  ASSERT_TRUE(WaitUntil([&] { return StateOf(daemon, "a") == "cannot-start"; }))
      << daemon.LogTail() << daemon.Pitr({"status"}).err;
  EXPECT_THAT(daemon.Status("a")["daemon"]["error"]["message"].get<std::string>(),
              HasSubstr(segment));
  EXPECT_THAT(daemon.LogTail(), HasSubstr("[a] cannot start: "));

  // Mended while the daemon runs: it notices by itself.
  std::ofstream(segment, std::ios::binary) << whole;
  InsertInto(*a, "a");
  EXPECT_TRUE(daemon.WaitFor(ExecutedOn(*a), "a")) << daemon.LogTail();
  EXPECT_EQ(daemon.Stop(), 0);
  daemon.ExpectVerified();
}

TEST(DaemonFaults, NothingToBeginWithIsAnErrorAndOnceGoesOnWithTheRest) {
  auto a = StartPrimary(), b = StartPrimary();
  ASSERT_TRUE(a && b);
  InsertInto(*a, "a");
  InsertInto(*b, "b");
  Daemon daemon;
  daemon.AddSource("a", *a);
  daemon.Start();
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*a), "a")) << daemon.LogTail();
  EXPECT_EQ(daemon.Stop(), 0);
  Damage(daemon, "a");
  daemon.Start();
  auto ended = daemon.process().Wait();
  ASSERT_TRUE(ended.ok()) << daemon.LogTail();
  EXPECT_EQ(*ended, 15) << daemon.LogTail();
  EXPECT_THAT(daemon.LogTail(), HasSubstr("\ntidemarkd: " + daemon.Segments("a").front()));

  daemon.AddSource("b", *b);
  auto once = testing::RunProgram(
      {testing::Binary("tidemarkd"), "--config", daemon.WriteConfig(), "--once"});
  ASSERT_TRUE(once.ok());
  EXPECT_EQ(once->exit_code, 15) << once->err;
  EXPECT_THAT(once->err, HasSubstr("[a] cannot start"));
  EXPECT_EQ(daemon.Archived("b"), ExecutedOn(*b));
}

}  // namespace
}  // namespace tidemark
