#include "tools/cli/server_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

namespace tidemark::cli {
namespace {

class WhatIsAsked : public ::testing::Test {
 protected:
  void TearDown() override {
    ::unsetenv("TIDEMARK_ARCHIVE");
    ::unsetenv("TIDEMARK_SERVER");
  }
  Result<bool> Asks(std::vector<std::string> arguments) {
    CLI::App app;
    ArchiveFlag archive;
    ServerFlags server;
    archive.AddTo(app);
    server.AddTo(app);
    std::reverse(arguments.begin(), arguments.end());
    app.parse(arguments);
    return AsksServer(archive, server);
  }
};

TEST_F(WhatIsAsked, TheOneThatIsNamed) {
  EXPECT_FALSE(*Asks({}));
  EXPECT_FALSE(*Asks({"--archive", "/a"}));
  EXPECT_TRUE(*Asks({"--server", "h:1"}));
  ::setenv("TIDEMARK_SERVER", "h:1", 1);
  EXPECT_TRUE(*Asks({}));
  ::setenv("TIDEMARK_SERVER", "", 1);
  ::setenv("TIDEMARK_ARCHIVE", "/a", 1);
  EXPECT_FALSE(*Asks({}));
}

TEST_F(WhatIsAsked, TheCommandLineWins) {
  ::setenv("TIDEMARK_ARCHIVE", "/a", 1);
  EXPECT_TRUE(*Asks({"--server", "h:1"}));
  ::setenv("TIDEMARK_SERVER", "h:1", 1);
  EXPECT_TRUE(*Asks({"--server", "h:1"}));
  EXPECT_FALSE(*Asks({"--archive", "/a"}));
}

TEST_F(WhatIsAsked, BothInOnePlaceContradictEachOther) {
  EXPECT_EQ(Asks({"--archive", "/a", "--server", "h:1"}).error().code(), Code::kUsage);
  ::setenv("TIDEMARK_ARCHIVE", "/a", 1);
  ::setenv("TIDEMARK_SERVER", "h:1", 1);
  EXPECT_THAT(Asks({}).error().message(), ::testing::HasSubstr("environment"));
}

}  // namespace
}  // namespace tidemark::cli
