// Completion scripts. They hold what they offer; nothing is run while somebody types.
#include "tools/program_reference.h"

namespace tidemark {
namespace {

std::string Quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string Joined(const std::vector<std::string>& words, const char* between) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : between) + word;
  return out;
}

std::string FunctionName(const CLI::App& app) { return "_" + app.get_name(); }

bool TakesFile(const OptionFacts& option) {
  return option.value == "FILE" || option.names.back() == "--mysqld" ||
         option.names.back() == "--socket";
}
bool TakesDirectory(const OptionFacts& option) { return option.value == "DIR"; }

std::vector<std::string> Words(const CLI::App& command) {
  std::vector<std::string> words;
  for (const CLI::App* one : CommandsOf(command)) words.push_back(one->get_name());
  for (const OptionFacts& option : OptionsOf(command))
    words.insert(words.end(), option.names.begin(), option.names.end());
  return words;
}

// The value of the option in front of the cursor.
std::string BashValues(const CLI::App& command) {
  std::string cases;
  for (const OptionFacts& option : OptionsOf(command)) {
    if (option.value.empty()) continue;
    std::string generate = ":";
    if (!option.choices.empty())
      generate =
          "COMPREPLY=($(compgen -W " + Quoted(Joined(option.choices, " ")) + " -- \"$cur\"))";
    else if (TakesDirectory(option))
      generate = "COMPREPLY=($(compgen -d -- \"$cur\"))";
    else if (TakesFile(option))
      generate = "COMPREPLY=($(compgen -f -- \"$cur\"))";
    cases += "    " + Joined(option.names, "|") + ") " + generate + "; return ;;\n";
  }
  return cases.empty() ? "" : "    case $prev in\n" + cases + "    esac\n";
}

std::string BashCommand(const CLI::App& command, const std::string& pattern,
                        const std::string& more) {
  return "  " + pattern + ")\n" + BashValues(command) +
         "    words=" + Quoted(Joined(Words(command), " ") + more) + " ;;\n";
}

std::string Bash(const CLI::App& app) {
  std::string names, cases;
  std::string global;  // which may stand behind a command too
  for (const OptionFacts& option : OptionsOf(app))
    if (option.names.back() != "--help") global += " " + Joined(option.names, " ");
  for (const CLI::App* command : CommandsOf(app)) {
    names += (names.empty() ? "" : "|") + command->get_name();
    cases += BashCommand(*command, command->get_name(), global);
  }
  const std::string find =
      names.empty() ? ""
                    : "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n    case $word in " +
                          names + ") command=$word; break ;; esac\n  done\n";
  return "# bash completion of " + app.get_name() + "; made by its build.\n" + FunctionName(app) +
         "() {\n  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= "
         "words= word\n  COMPREPLY=()\n" +
         find + "  case $command in\n" + cases + BashCommand(app, "*", "") +
         "  esac\n  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\ncomplete -o filenames "
         "-F " +
         FunctionName(app) + " " + app.get_name() + "\n";
}

std::string ZshText(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string ZshOptions(const CLI::App& command, const std::string& indent) {
  std::string out;
  for (const OptionFacts& option : OptionsOf(command)) {
    for (const std::string& name : option.names) {
      std::string spec = name + "[" + ZshText(option.description) + "]";
      if (!option.value.empty()) {
        spec += ":" + ZshText(option.value) + ":";
        if (!option.choices.empty())
          spec += "(" + Joined(option.choices, " ") + ")";
        else if (TakesDirectory(option))
          spec += "_files -/";
        else if (TakesFile(option))
          spec += "_files";
      }
      out += " \\\n" + indent + Quoted(spec);
    }
  }
  return out;
}

std::string ZshCommands(const CLI::App& command) {
  std::string out;
  for (const CLI::App* one : CommandsOf(command))
    out += " " + Quoted(one->get_name() + ":" + ZshText(one->get_description()));
  return out;
}

std::string Zsh(const CLI::App& app) {
  const std::string head = "#compdef " + app.get_name() + "\n# Made by the build of " +
                           app.get_name() + ".\n" + FunctionName(app) + "() {\n";
  const std::string tail = "}\n" + FunctionName(app) + " \"$@\"\n";
  if (CommandsOf(app).empty()) return head + "  _arguments" + ZshOptions(app, "    ") + "\n" + tail;
  std::string cases;
  for (const CLI::App* command : CommandsOf(app)) {
    cases += "        " + command->get_name() + ")\n";
    if (!CommandsOf(*command).empty())
      cases += "          commands=(" + ZshCommands(*command) +
               ")\n          (( CURRENT == 2 )) && _describe command commands\n";
    cases += "          _arguments" + ZshOptions(*command, "            ") + " ;;\n";
  }
  return head +
         "  local state line context\n  local -a commands\n  typeset -A opt_args\n"
         "  _arguments -C" +
         ZshOptions(app, "    ") + " \\\n    '1:command:->command' '*::argument:->argument'\n" +
         "  case $state in\n    command)\n      commands=(" + ZshCommands(app) +
         ")\n      _describe command commands ;;\n    argument)\n      case $words[1] in\n" +
         cases + "      esac ;;\n  esac\n" + tail;
}

std::string FishOptions(const CLI::App& command, const std::string& program,
                        const std::string& condition) {
  std::string out;
  for (const OptionFacts& option : OptionsOf(command)) {
    out += "complete -c " + program + (condition.empty() ? "" : " -n " + Quoted(condition));
    for (const std::string& name : option.names)
      out += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
    if (!option.choices.empty())
      out += " -x -a " + Quoted(Joined(option.choices, " "));
    else if (TakesDirectory(option))
      out += " -x -a '(__fish_complete_directories)'";
    else if (TakesFile(option))
      out += " -r -F";
    else if (!option.value.empty())
      out += " -x";
    out += " -d " + Quoted(option.description) + "\n";
  }
  return out;
}

std::string Fish(const CLI::App& app) {
  const std::string program = app.get_name();
  std::string out = "# fish completion of " + program + "; made by its build.\ncomplete -c " +
                    program + " -f\n" + FishOptions(app, program, "");
  for (const CLI::App* command : CommandsOf(app)) {
    const std::string seen = "__fish_seen_subcommand_from " + command->get_name();
    out += "complete -c " + program + " -n __fish_use_subcommand -a " + command->get_name() +
           " -d " + Quoted(command->get_description()) + "\n";
    for (const CLI::App* nested : CommandsOf(*command))
      out += "complete -c " + program + " -n " + Quoted(seen) + " -a " + nested->get_name() +
             " -d " + Quoted(nested->get_description()) + "\n";
    out += FishOptions(*command, program, seen);
  }
  return out;
}

}  // namespace

Result<std::string> Completion(const CLI::App& app, const std::string& shell) {
  if (shell == "bash") return Bash(app);
  if (shell == "zsh") return Zsh(app);
  if (shell == "fish") return Fish(app);
  return Status(Code::kUsage, "no completions for " + shell, "bash, zsh or fish");
}

}  // namespace tidemark
