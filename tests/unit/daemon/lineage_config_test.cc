// `continues` in the configuration: what is refused before anything is touched.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temp_dir.h"
#include "tools/daemon_config.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;

class LineageConfig : public ::testing::Test {
 protected:
  // Each source with what it continues; "" for nothing.
  Result<DaemonConfig> Load(std::vector<std::pair<std::string, std::string>> sources) {
    const std::string path = directory_.Path("tidemarkd.toml");
    std::ofstream file(path);
    file << "archive = \"" << directory_.path() << "\"\n";
    for (const auto& [name, continues] : sources) {
      file << "[[source]]\nname = \"" << name << "\"\nhost = \"db\"\nuser = \"u\"\n"
           << "server_id = 1\n";
      if (!continues.empty()) file << "continues = \"" << continues << "\"\n";
    }
    file.close();
    return LoadDaemonConfig(path);
  }
  Status Check(std::vector<std::pair<std::string, std::string>> sources) {
    const auto config = Load(std::move(sources));
    EXPECT_TRUE(config.ok()) << config.error().message();
    return CheckLineages(*config, archive_);
  }

  testing::TempDir directory_;
  ArchiveDirectory archive_{PosixFileSystem(), directory_.path()};
};

TEST_F(LineageConfig, OnlyByNameAndNeverByDefault) {
  const auto config = Load({{"main", ""}, {"main-b", "main"}});
  ASSERT_TRUE(config.ok()) << config.error().message();
  EXPECT_EQ(config->sources[0].archiver.continues, "");
  EXPECT_EQ(config->sources[1].archiver.continues, "main");
  EXPECT_EQ(config->sources[1].settings.at("continues"), "\"main\"");
}

TEST_F(LineageConfig, ItselfOrACircleIsRefused) {
  EXPECT_THAT(Load({{"main", "main"}}).error().message(), HasSubstr("continue itself"));
  EXPECT_THAT(Load({{"a", "c"}, {"b", "a"}, {"c", "b"}}).error().message(),
              HasSubstr("would continue itself, by way of"));
  EXPECT_THAT(Load({{"a", "no/name"}}).error().message(), HasSubstr("source a: continues"));
  EXPECT_TRUE(Load({{"c", "b"}, {"b", "a"}, {"a", "older"}}).ok());
}

TEST_F(LineageConfig, ParentMustBeInTheArchive) {
  const Status none = Check({{"main-b", "main"}});
  EXPECT_EQ(none.code(), Code::kUsage);
  EXPECT_THAT(none.message(), HasSubstr("no such source"));
  ASSERT_TRUE(archive_.CreateSource("main").ok());
  EXPECT_TRUE(Check({{"main-b", "main"}}).ok()) << "whether it is configured or not";
  EXPECT_TRUE(Check({{"main", ""}}).ok());
}

TEST_F(LineageConfig, NameThatIsTakenIsRefusedAndOneThatIsBegunIsNot) {
  ASSERT_TRUE(archive_.CreateSource("main").ok());
  ASSERT_TRUE(archive_.CreateSource("main-b").ok());
  EXPECT_THAT(Check({{"main-b", "main"}}).message(), HasSubstr("is in the archive already"));
  SourceIdentity identity = *archive_.ReadIdentity("main-b");
  identity.forks = {{"main", 1, {}, {}, 1}};
  ASSERT_TRUE(archive_.WriteIdentity("main-b", identity).ok());
  EXPECT_TRUE(Check({{"main-b", "main"}}).ok());
  EXPECT_THAT(Check({{"main-b", "other"}}).message(), HasSubstr("continues main, not other"));
}

}  // namespace
}  // namespace tidemark
