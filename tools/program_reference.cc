#include "tools/program_reference.h"

#include <algorithm>
#include <sstream>

#include "replication/base/file_system.h"

namespace tidemark {
namespace {

constexpr uint64_t kExampleBytesMax = 1 << 20;

[[noreturn]] void EndWith(const std::string& text) {
  std::string trimmed = text;  // the caller prints it as a line
  while (trimmed.ends_with('\n')) trimmed.pop_back();
  throw CLI::CallForVersion(trimmed, 0);
}

}  // namespace

OptionFacts FactsOf(const CLI::Option& option) {
  OptionFacts facts;
  for (const std::string& name : option.get_snames()) facts.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) facts.names.push_back("--" + name);
  facts.description = option.get_description();
  if (!option.get_envname().empty())
    facts.description += " (environment: " + option.get_envname() + ")";
  if (option.get_type_size() == 0) return facts;
  facts.value = option.get_type_name();
  if (!option.get_default_str().empty())
    facts.description += " (default: " + option.get_default_str() + ")";
  // "TEXT:{replica,pipe}", "INT in [1 - 1024]"
  const size_t open = facts.value.find('{'), close = facts.value.rfind('}');
  if (open != std::string::npos && close != std::string::npos) {
    std::stringstream words(facts.value.substr(open + 1, close - open - 1));
    for (std::string word; std::getline(words, word, ',');) facts.choices.push_back(word);
    facts.value.clear();
    for (const std::string& word : facts.choices)
      facts.value += (facts.value.empty() ? "" : "|") + word;
  }
  facts.value.resize(
      std::min({facts.value.find(':'), facts.value.find(" in "), facts.value.size()}));
  return facts;
}

std::vector<OptionFacts> OwnOptionsOf(const CLI::App& command) {
  std::vector<OptionFacts> options;
  for (const CLI::Option* option : command.get_options())
    if (!option->get_group().empty() && option->nonpositional())
      options.push_back(FactsOf(*option));
  return options;
}

std::vector<OptionFacts> OptionsOf(const CLI::App& command) {
  std::vector<OptionFacts> options = OwnOptionsOf(command);
  for (const CLI::App* group : OptionGroupsOf(command))
    for (OptionFacts& option : OwnOptionsOf(*group)) options.push_back(std::move(option));
  return options;
}

std::vector<const CLI::App*> CommandsOf(const CLI::App& command) {
  return command.get_subcommands(
      [](const CLI::App* one) { return !one->get_name().empty() && !one->get_group().empty(); });
}

std::vector<const CLI::App*> OptionGroupsOf(const CLI::App& command) {
  return command.get_subcommands([](const CLI::App* one) { return one->get_name().empty(); });
}

void AddReference(CLI::App& app, ManualText text) {
  const std::string hidden;
  app.add_flag_callback("--help-man", [&app, text] { EndWith(ManualPage(app, text)); })
      ->group(hidden);
  const auto configuration = [](const CLI::results_t& given) -> bool {
    Result<std::string> example = ReadSmallFile(PosixFileSystem(), given.at(0), kExampleBytesMax);
    if (!example.ok()) throw CLI::ValidationError(example.error().message());
    EndWith(ConfigurationManual(*example));
  };
  app.add_option("--help-man-config", configuration, "")->group(hidden);
  const auto completion = [&app](const CLI::results_t& given) -> bool {
    Result<std::string> script = Completion(app, given.at(0));
    if (!script.ok()) throw CLI::ValidationError(script.error().message());
    EndWith(*script);
  };
  app.add_option("--help-completion", completion, "")->group(hidden);
}

}  // namespace tidemark
