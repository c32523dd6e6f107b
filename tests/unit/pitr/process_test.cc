#include "pitr/restore/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;

ProcessOptions Shell(const std::string& script) {
  ProcessOptions options;
  options.argv = {"/bin/sh", "-c", script};
  return options;
}

int ExitCodeOf(ProcessOptions options) {
  auto child = ChildProcess::Start(std::move(options));
  EXPECT_TRUE(child.ok());
  return (*child)->Wait(60'000).value_or(-1);
}

TEST(ProcessTest, ExitCodesAndSignalsAreTold) {
  EXPECT_EQ(ExitCodeOf(Shell("exit 0")), 0);
  EXPECT_EQ(ExitCodeOf(Shell("exit 7")), 7);
  EXPECT_EQ(ExitCodeOf(Shell("kill -9 $$")), 128 + SIGKILL);
}

TEST(ProcessTest, MissingProgramIsAnErrorNotAnExitCode) {
  ProcessOptions options;
  options.argv = {"/nonexistent/mysqld"};
  const auto child = ChildProcess::Start(std::move(options));
  ASSERT_FALSE(child.ok());
  EXPECT_EQ(child.error().code(), Code::kUsage);
  EXPECT_THAT(child.error().message(), HasSubstr("/nonexistent/mysqld"));
}

TEST(ProcessTest, FindsProgramsInPathOnly) {
  EXPECT_EQ(*FindProgram("/bin/sh"), "/bin/sh");
  EXPECT_THAT(*FindProgram("sh"), HasSubstr("/sh"));
  EXPECT_EQ(FindProgram("no-such-program-of-ours").error().code(), Code::kUsage);
  EXPECT_EQ(FindProgram("./no-such-program-of-ours").error().code(), Code::kUsage);
  EXPECT_EQ(FindProgram("").error().code(), Code::kUsage);
}

TEST(ProcessTest, InputLargerThanAPipeArrivesWhole) {
  testing::TempDir directory;
  ProcessOptions options = Shell("cat >" + directory.Path("out"));
  options.feed_input = true;
  auto child = ChildProcess::Start(std::move(options));
  ASSERT_TRUE(child.ok());
  const std::string text(5 << 20, 'x');
  ASSERT_TRUE((*child)->WriteInput(AsBytes(text), [] { return true; }).ok());
  (*child)->CloseInput();
  EXPECT_EQ((*child)->Wait(60'000), 0);
  EXPECT_EQ(testing::ReadWholeFile(directory.Path("out")), text);
}

TEST(ProcessTest, WritingToADeadChildIsEndOfData) {
  ProcessOptions options = Shell("exit 3");
  options.feed_input = true;
  auto child = ChildProcess::Start(std::move(options));
  ASSERT_TRUE(child.ok());
  EXPECT_EQ((*child)->Wait(60'000), 3);
  const std::string text(1 << 20, 'x');
  EXPECT_EQ((*child)->WriteInput(AsBytes(text), [] { return true; }).code(), Code::kEndOfData);
}

TEST(ProcessTest, WritingToAStuckChildCanBeInterrupted) {
  ProcessOptions options = Shell("exec sleep 1000");
  options.feed_input = true;
  auto child = ChildProcess::Start(std::move(options));
  ASSERT_TRUE(child.ok());
  int asked = 0;
  const std::string text(1 << 20, 'x');
  EXPECT_EQ((*child)->WriteInput(AsBytes(text), [&] { return ++asked < 3; }).code(),
            Code::kInterrupted);
  EXPECT_EQ(asked, 3);
  asked = 0;
  EXPECT_EQ(WaitForExit(**child, [&] { return ++asked < 2; }).error().code(), Code::kInterrupted);
  const pid_t pid = (*child)->pid();
  child->reset();
  EXPECT_EQ(::kill(pid, 0), -1) << "the destructor kills and reaps";
}

TEST(ProcessTest, ErrorsKeepTheirBeginningAndEnd) {
  auto child =
      ChildProcess::Start(Shell("echo first >&2; i=0; while [ $i -lt 3000 ]; do echo line $i >&2; "
                                "i=$((i+1)); done; echo last >&2"));
  ASSERT_TRUE(child.ok());
  EXPECT_EQ((*child)->Wait(60'000), 0);
  const std::string errors = (*child)->Errors();
  EXPECT_THAT(errors, ::testing::StartsWith("first\nline 0\n"));
  EXPECT_THAT(errors, ::testing::EndsWith("line 2999\nlast"));
  EXPECT_LE(errors.size(), kCapturedErrorBytesMax + 16);
}

TEST(ProcessTest, EnvironmentIsAddedAndReplaced) {
  ::setenv("TIDEMARK_PROCESS_TEST", "old", 1);
  ProcessOptions options = Shell("echo $TIDEMARK_PROCESS_TEST $TIDEMARK_OTHER >&2");
  options.environment = {{"TIDEMARK_PROCESS_TEST", "new"}, {"TIDEMARK_OTHER", "too"}};
  auto child = ChildProcess::Start(std::move(options));
  ASSERT_TRUE(child.ok());
  (*child)->Wait(60'000);
  EXPECT_EQ((*child)->Errors(), "new too");
}

TEST(ProcessTest, OneProgramsOutputIsTheOthersInput) {
  testing::TempDir directory;
  auto pipe = MakePipe();
  ASSERT_TRUE(pipe.ok());
  ProcessOptions reader = Shell("cat >" + directory.Path("out")), writer = Shell("echo through");
  reader.input = std::move(pipe->read);
  writer.output = std::move(pipe->write);
  auto reading = ChildProcess::Start(std::move(reader));
  auto writing = ChildProcess::Start(std::move(writer));
  ASSERT_TRUE(reading.ok() && writing.ok());
  EXPECT_EQ((*writing)->Wait(60'000), 0);
  EXPECT_EQ((*reading)->Wait(60'000), 0) << "ends only if no copy of the pipe's end was left open";
  EXPECT_EQ(testing::ReadWholeFile(directory.Path("out")), "through\n");
}

}  // namespace
}  // namespace tidemark
