// Man pages and shell completions of a program from the one description that its --help is printed
// from: hidden options of the program itself, which the build runs.
//   --help-man                        its man page, as roff
//   --help-man-config FILE            tidemarkd.toml(5), from the commented example configuration
//   --help-completion bash|zsh|fish   completions
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "replication/base/status.h"

namespace tidemark {

// What a man page says beyond the options.
struct ManualText {
  int section = 1;
  std::string summary;  // "NAME - summary"
  struct Part {
    std::string title;
    std::vector<std::string> paragraphs;
  };
  std::vector<Part> parts;
  std::vector<std::string> see_also;  // "pitr(1)"
};

ManualText TidemarkdText();
ManualText PitrText();

// Adds the hidden options. Whoever gives one makes parse() end as --version does: with the text.
void AddReference(CLI::App& app, ManualText text);

std::string ManualPage(const CLI::App& app, const ManualText& text);
// Of commands, options, words to choose from, files and directories. kUsage: no such shell.
Result<std::string> Completion(const CLI::App& app, const std::string& shell);
// Comments become text, settings stand as they are in the file, tables are the sections.
std::string ConfigurationManual(const std::string& example);

// For the pages: what CLI11 knows of an option.
struct OptionFacts {
  std::vector<std::string> names;  // "--into", "-h"
  std::string value;               // "DIR"; empty: takes none
  std::vector<std::string> choices;
  std::string description;
};
OptionFacts FactsOf(const CLI::Option& option);
// Those that --help shows: the command's own, and with those of its option groups behind them.
std::vector<OptionFacts> OwnOptionsOf(const CLI::App& command);
std::vector<OptionFacts> OptionsOf(const CLI::App& command);
std::vector<const CLI::App*> CommandsOf(const CLI::App& command);
std::vector<const CLI::App*> OptionGroupsOf(const CLI::App& command);

}  // namespace tidemark
