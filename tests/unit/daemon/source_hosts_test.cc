// Where a source is, as the configuration says it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temp_dir.h"
#include "tools/daemon_config.h"

namespace tidemark {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Result<DaemonConfig> Load(const std::string& where) {
  testing::TempDir directory;
  const std::string path = directory.Path("tidemarkd.toml");
  std::ofstream(path) << "archive = \"/srv/a\"\n[[source]]\nname = \"main\"\nuser = \"u\"\n"
                      << "server_id = 1\n"
                      << where << "\n";
  return LoadDaemonConfig(path);
}

TEST(SourceHosts, SeveralEachWithItsPort) {
  const auto config = Load("hosts = [\"db1\", \"db2:3307\", \"[::1]:3308\"]");
  ASSERT_TRUE(config.ok()) << config.error().message();
  const SourceConfig& source = config->sources[0];
  EXPECT_THAT(source.hosts,
              ElementsAre(HostPort{"db1", 3306}, HostPort{"db2", 3307}, HostPort{"::1", 3308}));
  EXPECT_EQ(source.connection.Server(), "db1:3306");
  EXPECT_EQ(source.settings.at("hosts"), "[\"db1\", \"db2:3307\", \"[::1]:3308\"]");
}

TEST(SourceHosts, OneHostIsAListOfOneAndASocketIsNone) {
  const auto host = Load("host = \"db1\"\nport = 3307");
  ASSERT_TRUE(host.ok()) << host.error().message();
  EXPECT_THAT(host->sources[0].hosts, ElementsAre(HostPort{"db1", 3307}));
  const auto socket = Load("socket = \"/run/mysqld.sock\"");
  ASSERT_TRUE(socket.ok()) << socket.error().message();
  EXPECT_TRUE(socket->sources[0].hosts.empty());
  EXPECT_EQ(socket->sources[0].connection.Server(), "/run/mysqld.sock");
}

TEST(SourceHosts, WhatIsSaidTwiceOrIsNoHostIsRefused) {
  const auto refused = [](const std::string& where) {
    const auto config = Load(where);
    return config.ok() ? "accepted" : config.error().message();
  };
  EXPECT_THAT(refused("hosts = [\"db1\"]\nhost = \"db2\""), HasSubstr("besides"));
  EXPECT_THAT(refused("hosts = [\"db1\"]\nport = 3307"), HasSubstr("besides"));
  EXPECT_THAT(refused("hosts = [\"db1\"]\nsocket = \"/s\""), HasSubstr("besides"));
  EXPECT_THAT(refused("hosts = [\"db1\", \"db1:3306\"]"), HasSubstr("db1:3306 twice"));
  EXPECT_THAT(refused("hosts = [\"db1:port\"]"), HasSubstr("'db1:port' is no host"));
  EXPECT_THAT(refused("hosts = []"), HasSubstr("host or a socket"));
  std::string many;
  for (size_t i = 0; i <= kCandidatesMax; ++i) many += "\"db" + std::to_string(i) + "\",";
  EXPECT_THAT(refused("hosts = [" + many + "]"), HasSubstr("more than"));
}

}  // namespace
}  // namespace tidemark
