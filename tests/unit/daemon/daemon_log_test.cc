#include "tools/daemon_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace tidemark {
namespace {

using testing::ReadWholeFile;
using testing::TempDir;

nlohmann::json Format(const std::string& message) {
  spdlog::memory_buf_t out;
  MakeJsonFormatter()->format(spdlog::details::log_msg("tidemarkd", spdlog::level::warn, message),
                              out);
  const std::string line(out.data(), out.size());
  EXPECT_EQ(line.find('\n'), line.size() - 1) << line;
  return nlohmann::json::parse(line, nullptr, false);
}

TEST(JsonLog, SourceIsAFieldOfItsOwn) {
  const nlohmann::json json = Format("[main.1] the source is gone");
  EXPECT_EQ(json["source"], "main.1");
  EXPECT_EQ(json["message"], "the source is gone");
  EXPECT_EQ(json["level"], "warning");
  EXPECT_THAT(json["time"].get<std::string>(),
              ::testing::MatchesRegex("....-..-..T..:..:..\\.......Z"));
}

TEST(JsonLog, WhateverTheMessageIsTheLineIsJson) {
  for (const std::string text : {"quote \" backslash \\ newline \n tab \t", "\xff\xfe not UTF-8",
                                 "", "[", "[]", "[a b] no source", "[x]no blank"}) {
    const nlohmann::json json = Format(text);
    ASSERT_TRUE(json.is_object()) << text;
    EXPECT_FALSE(json.contains("source")) << text;
  }
}

TEST(DaemonLog, RotatesAndKeepsTheNumberOfFilesAskedFor) {
  TempDir directory;
  LogConfig config;
  config.destination = LogDestination::kFile;
  config.file = directory.Path("t.log");
  config.file_bytes_max = 1000;
  config.files_kept = 2;
  ASSERT_TRUE(ConfigureLog(config).ok());
  for (int i = 0; i < 100; ++i) spdlog::info("line {}", i);
  ASSERT_TRUE(ConfigureLog({}).ok());
  EXPECT_THAT(ReadWholeFile(config.file), ::testing::HasSubstr("line 99\n"));
  EXPECT_TRUE(std::filesystem::exists(directory.Path("t.2.log")));
  EXPECT_FALSE(std::filesystem::exists(directory.Path("t.3.log")));
}

TEST(DaemonLog, FileThatCannotBeWrittenChangesNothing) {
  TempDir directory;
  LogConfig good;
  good.destination = LogDestination::kFile;
  good.file = directory.Path("t.log");
  ASSERT_TRUE(ConfigureLog(good).ok());
  LogConfig bad = good;
  bad.file = directory.Path("t.log/under/a/file");
  EXPECT_EQ(ConfigureLog(bad).code(), Code::kIo);
  spdlog::info("still here");
  ASSERT_TRUE(ConfigureLog({}).ok());
  EXPECT_THAT(ReadWholeFile(good.file), ::testing::HasSubstr("still here"));
}

TEST(DaemonLog, MayBeConfiguredWhileOthersLog) {
  TempDir directory;
  LogConfig one, two;
  one.destination = two.destination = LogDestination::kFile;
  one.file = directory.Path("1.log");
  two.file = directory.Path("2.log");
  two.format = LogFormat::kJson;
  ASSERT_TRUE(ConfigureLog(one).ok());
  constexpr int kLines = 2000;
  std::thread other([] {
    for (int i = 0; i < kLines; ++i) spdlog::info("line");
  });
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(ConfigureLog(i % 2 == 0 ? two : one).ok());
  other.join();
  ASSERT_TRUE(ConfigureLog({}).ok());
  const std::string all = ReadWholeFile(one.file) + ReadWholeFile(two.file);
  EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), kLines);
}

}  // namespace
}  // namespace tidemark
