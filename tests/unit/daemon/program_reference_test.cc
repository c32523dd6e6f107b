#include "tools/program_reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/process.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Sample {
  Sample() {
    app.name("sample");
    app.add_flag("--json", flag, "it's [JSON]: one document");
    auto* restore = app.add_subcommand("restore", "bring a server back");
    restore->add_option("-d,--into", text, ".a directory")->type_name("DIR");
    restore->add_option("--applier", choice, "how")
        ->check(CLI::IsMember({"replica", "pipe"}))
        ->capture_default_str();
    auto* group = restore->add_option_group("target", "Exactly one of");
    group->add_option("--before-gtid", text, "stop right before")->type_name("GTID");
    app.add_subcommand("index", "the index")->add_subcommand("rebuild", "make it anew");
    AddReference(app, {1, "shows", {{"examples", {"sample -\\ x"}}}, {"other(8)"}});
  }
  CLI::App app{"A sample."};
  bool flag = false;
  std::string text, choice = "replica";
};

TEST(ManualPageTest, HasEveryOptionOnceAndNoHiddenOne) {
  Sample sample;
  const std::string page = ManualPage(sample.app, {1, "shows", {}, {"other(8)"}});
  EXPECT_EQ(testing::Occurrences(page, "\\-\\-before\\-gtid"), 1u);
  EXPECT_EQ(testing::Occurrences(page, ".SS index rebuild"), 1u);
  EXPECT_THAT(page, HasSubstr("\\fIreplica|pipe\\fR"));
  EXPECT_THAT(page, HasSubstr("\n\\&.a directory"));  // a line that begins with a dot is a command
  EXPECT_THAT(page, Not(HasSubstr("help\\-man")));
  EXPECT_THAT(page, HasSubstr(".TP\n17\nsource\\-unavailable\n"));
}

TEST(ManualPageTest, ValueIsNamedByItsTypeWithoutItsLimits) {
  CLI::App app;
  std::pair<std::string, std::string> two;
  int number = 0;
  const auto* both = app.add_option("--both", two)->type_name("NAME ROLE");
  const auto* few = app.add_option("--few", number)->check(CLI::Range(1, 9));
  EXPECT_EQ(FactsOf(*both).value, "NAME ROLE");
  EXPECT_EQ(FactsOf(*few).value, "INT");
}

TEST(CompletionTest, BashOffersCommandsOptionsAndChoices) {
  Sample sample;
  const std::string script = Completion(sample.app, "bash").value();
  const auto complete = [&script](const std::string& words, int at) {
    const auto result = testing::RunProgram({"bash", "-c",
                                             script + "COMP_WORDS=(" + words +
                                                 "); COMP_CWORD=" + std::to_string(at) +
                                                 "; _sample; echo \"${COMPREPLY[*]}\""});
    EXPECT_TRUE(result.ok() && result->err.empty()) << (result.ok() ? result->err : "");
    return result.ok() ? result->out : std::string();
  };
  EXPECT_EQ(complete("sample re", 1), "restore\n");
  EXPECT_EQ(complete("sample --json index ''", 3), "rebuild -h --help --json\n");
  EXPECT_EQ(complete("sample restore --applier p", 3), "pipe\n");
  EXPECT_EQ(complete("sample restore --bef", 2), "--before-gtid\n");
  EXPECT_EQ(complete("sample restore --into /et", 3), "/etc\n");
}

TEST(CompletionTest, EveryOptionIsInEveryShellsScript) {
  Sample sample;
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const std::string script = Completion(sample.app, shell).value();
    for (const char* word : {"json", "into", "applier", "before-gtid", "restore", "rebuild"})
      EXPECT_THAT(script, HasSubstr(word)) << shell;
    EXPECT_THAT(script, Not(HasSubstr("help-completion"))) << shell;
  }
  EXPECT_EQ(Completion(sample.app, "tcsh").error().code(), Code::kUsage);
}

TEST(ReferenceOptions, EndParsingWithTheTextEvenWithoutACommand) {
  Sample sample;
  sample.app.require_subcommand(1);
  try {
    sample.app.parse("--help-completion bash");
    FAIL();
  } catch (const CLI::ParseError& end) {
    EXPECT_EQ(end.get_exit_code(), 0);
    EXPECT_THAT(end.what(), HasSubstr("complete -o filenames -F _sample sample"));
  }
  try {
    sample.app.parse("--help-completion tcsh");
    FAIL();
  } catch (const CLI::ParseError& end) {
    EXPECT_NE(end.get_exit_code(), 0);
  }
}

TEST(ConfigurationManualTest, CommentsBecomeTextAndSettingsStayTogether) {
  const std::string page = ConfigurationManual(
      "# About…\n\n# Where.\narchive = \"/a\"\n\n# Of the log.\n# [log]\n# How much.\n"
      "# level = \"info\"\n# format = \"text\"\n");
  EXPECT_THAT(
      page,
      HasSubstr(
          ".SH DESCRIPTION\nAbout\\[u2026]\n.PP\nWhere.\n.RS 4\n.nf\n\\fBarchive = \"/a\"\\fR\n"));
  EXPECT_THAT(page, HasSubstr(".fi\n.RE\n.SH [log]\n.PP\nOf the log.\n.PP\nHow much.\n.RS 4\n.nf\n"
                              "\\fBlevel = \"info\"\\fR\n\\fBformat = \"text\"\\fR\n.fi\n.RE\n"));
}

}  // namespace
}  // namespace tidemark
