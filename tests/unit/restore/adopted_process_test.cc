// Processes that we did not start, as a `pitr` finds them that goes on where another was killed.
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "pitr/restore/running_mysqld.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace tidemark {
namespace {

// A program that is no child of ours: our child starts it and ends. `argv` as execv takes it.
pid_t StartOrphan(std::vector<const char*> argv) {
  int said[2];
  EXPECT_EQ(::pipe(said), 0);
  argv.push_back(nullptr);
  const pid_t between = ::fork();
  if (between == 0) {
    const pid_t orphan = ::fork();
    if (orphan == 0) {
      ::close(said[0]);
      ::close(said[1]);
      ::execv("/bin/sleep", const_cast<char* const*>(argv.data()));
      ::_exit(127);
    }
    (void)!::write(said[1], &orphan, sizeof orphan);
    ::_exit(0);
  }
  ::waitpid(between, nullptr, 0);
  pid_t orphan = 0;
  EXPECT_EQ(::read(said[0], &orphan, sizeof orphan), static_cast<ssize_t>(sizeof orphan));
  ::close(said[0]);
  ::close(said[1]);
  return orphan;
}

// A server that writes a large buffer pool out is not killed for taking its time.
TEST(ChildProcessTest, OneThatWritesIsWaitedFor) {
  const testing::TempDir directory("tidemark-writes");
  struct statfs found {};
  ASSERT_EQ(::statfs(directory.path().c_str(), &found), 0);
  if (found.f_type == TMPFS_MAGIC) GTEST_SKIP() << "a write to tmpfs is none to a disk";
  const auto start = [&](const std::string& script) {
    ProcessOptions run;
    run.argv = {"/bin/sh", "-c", "cd " + directory.path() + "; " + script};
    auto child = ChildProcess::Start(std::move(run));
    EXPECT_TRUE(child.ok());
    return std::move(*child);
  };
  constexpr std::chrono::milliseconds kPatience(1500);
  const auto writer = start(
      "for i in 1 2 3 4 5 6 7 8; do dd if=/dev/zero of=f$i bs=64k count=1 conv=fsync; sleep 0.4; "
      "done; exit 7");
  EXPECT_EQ(WaitWhileItWrites(*writer, kPatience), 7);
  const auto idler = start("exec sleep 600");
  EXPECT_EQ(WaitWhileItWrites(*idler, kPatience), std::nullopt);
}

TEST(AdoptedProcessTest, ItsEndIsSeenAndItsExitCodeUnknown) {
  auto process = ChildProcess::Adopt(StartOrphan({"sleep", "600"}));
  ASSERT_TRUE(process.ok());
  EXPECT_EQ((*process)->Wait(0), std::nullopt);
  (*process)->Signal(SIGTERM);
  EXPECT_EQ((*process)->Wait(30'000), kExitCodeUnknown);
  (*process)->Signal(SIGTERM);  // nothing, as with a child
}

TEST(AdoptedProcessTest, IsKilledWithTheObjectUnlessReleased) {
  const pid_t pid = StartOrphan({"sleep", "600"});
  auto watcher = ChildProcess::Adopt(pid);
  ASSERT_TRUE(watcher.ok());
  {
    auto released = ChildProcess::Adopt(pid);
    ASSERT_TRUE(released.ok());
    (*released)->Release();
  }
  EXPECT_EQ((*watcher)->Wait(0), std::nullopt);
  { auto owned = ChildProcess::Adopt(pid); }
  EXPECT_EQ((*watcher)->Wait(30'000), kExitCodeUnknown);
}

TEST(AdoptedProcessTest, NobodyIsThere) {
  EXPECT_EQ(ChildProcess::Adopt(0).error().code(), Code::kNotFound);
  EXPECT_EQ(ChildProcess::Adopt(-1).error().code(), Code::kNotFound);
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(ChildProcess::Adopt(child).error().code(), Code::kNotFound);
}

// Any program will do: the name is argv[0], the place its working directory.
TEST(RunningMysqldTest, OnlyAMysqldThatWorksInTheDirectoryIsTaken) {
  const testing::TempDir directory, other;
  const auto start_in = [](const testing::TempDir& where, const char* name) {
    const auto before = std::filesystem::current_path();
    std::filesystem::current_path(where.path());
    const pid_t pid = StartOrphan({name, "600"});
    std::filesystem::current_path(before);
    auto process = ChildProcess::Adopt(pid);
    EXPECT_TRUE(process.ok());
    // Until exec its command line is ours.
    EXPECT_TRUE(testing::WaitUntil([&] {
      return testing::ReadWholeFile("/proc/" + std::to_string(pid) + "/cmdline").starts_with(name);
    }));
    return process.ok() ? std::move(*process) : nullptr;
  };
  const auto editor = start_in(directory, "editor");
  const auto elsewhere = start_in(other, "mysqld");
  const auto shell = start_in(directory, "sh");
  const std::string pid_file = other.Path("pid");
  std::ofstream(pid_file) << editor->pid() << "\n";
  EXPECT_FALSE(FindMysqld(directory.path(), pid_file));
  EXPECT_FALSE(FindMysqld(directory.path(), other.Path("no such file")));

  const auto wanted = start_in(directory, "mysqld-debug");
  for (const std::string& file : {pid_file, other.Path("no such file")}) {
    auto found = FindMysqld(directory.path(), file);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->process->pid(), wanted->pid());
    EXPECT_EQ(found->Option("socket"), "");
    found->process->Release();
  }
}

TEST(RunningMysqldTest, TheLastOfAnOptionCounts) {
  const RunningMysqld running{nullptr, {"mysqld", "--socket=a", "--socket-x=b", "--socket=c", "d"}};
  EXPECT_EQ(running.Option("socket"), "c");
  EXPECT_EQ(running.Option("port"), "");
}

}  // namespace
}  // namespace tidemark
