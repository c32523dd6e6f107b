// Man pages as roff (man(7)).
#include <fmt/format.h>

#include <map>
#include <sstream>

#include "tools/exit_code.h"
#include "tools/program_reference.h"

namespace tidemark {
namespace {

// What a UTF-8 sequence stands for; moves `at` to its last byte. Our own texts are valid.
uint32_t CodePoint(const std::string& text, size_t* at) {
  const auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const unsigned first = byte(*at);
  const int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
  uint32_t point = first & (0x3fu >> more);
  for (int i = 0; i < more; ++i) point = point << 6 | (byte(++*at) & 0x3fu);
  return point;
}

// Hyphens of options must stay ASCII when copied; a line must not begin with a control character;
// roff itself is ASCII.
std::string Escaped(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else if (static_cast<unsigned char>(c) >= 0x80)
      out += fmt::format("\\[u{:04X}]", CodePoint(text, &i));
    else
      out += c;
  }
  return out.starts_with('.') || out.starts_with('\'') ? "\\&" + out : out;
}

std::string Upper(std::string text) {
  for (char& c : text)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return text;
}

std::string Header(const std::string& name, int section) {
  return ".TH " + Upper(name) + " " + std::to_string(section) + " \"\" \"Tidemark\" \"Tidemark\"\n";
}

std::string SeeAlso(const std::vector<std::string>& pages) {
  std::string text = ".SH SEE ALSO\n";
  for (size_t i = 0; i < pages.size(); ++i) {
    const size_t paren = pages[i].find('(');
    text += ".BR " + Escaped(pages[i].substr(0, paren)) + " " + pages[i].substr(paren) +
            (i + 1 < pages.size() ? " ,\n" : "\n");
  }
  return text;
}

std::string OptionEntry(const OptionFacts& option) {
  std::string text = ".TP\n";
  for (size_t i = 0; i < option.names.size(); ++i)
    text += (i > 0 ? ", " : "") + ("\\fB" + Escaped(option.names[i])) + "\\fR";
  if (!option.value.empty()) text += " \\fI" + Escaped(option.value) + "\\fR";
  return text + "\n" + Escaped(option.description) + "\n";
}

// Those that are in no option group, then the groups under their own words.
std::string OptionEntries(const CLI::App& command) {
  std::string text;
  for (const OptionFacts& option : OwnOptionsOf(command)) text += OptionEntry(option);
  for (const CLI::App* group : OptionGroupsOf(command)) {
    text += ".PP\n" + Escaped(group->get_description()) + ":\n";
    for (const OptionFacts& option : OwnOptionsOf(*group)) text += OptionEntry(option);
  }
  return text;
}

std::string CommandEntries(const CLI::App& command, const std::string& prefix) {
  std::string text;
  for (const CLI::App* one : CommandsOf(command)) {
    const std::string name = prefix + one->get_name();
    std::string operands;
    for (const CLI::Option* option : one->get_options())
      if (option->get_positional()) operands += " \\fI" + Escaped(option->get_name(true)) + "\\fR";
    text += ".SS " + Escaped(name) + operands + "\n" + Escaped(one->get_description()) + "\n" +
            OptionEntries(*one) + CommandEntries(*one, name + " ");
  }
  return text;
}

std::string ExitStatus() {
  std::string text = ".SH EXIT STATUS\n.TP\n0\ndone\n.TP\n1\na bug in Tidemark\n";
  std::map<int, std::string> names;
  for (int code = 1; code <= static_cast<int>(Code::kIo); ++code) {
    const Code one = static_cast<Code>(code);
    std::string& name = names[ExitCodeOf(one)];
    name += (name.empty() ? "" : ", ") + std::string(CodeName(one));
  }
  for (const auto& [exit_code, name] : names)
    if (exit_code > 1) text += ".TP\n" + std::to_string(exit_code) + "\n" + Escaped(name) + "\n";
  return text;
}

}  // namespace

std::string ManualPage(const CLI::App& app, const ManualText& text) {
  const std::string name = app.get_name();
  const bool commands = !CommandsOf(app).empty();
  std::string page = Header(name, text.section) + ".SH NAME\n" + Escaped(name) + " \\- " +
                     Escaped(text.summary) + "\n.SH SYNOPSIS\n.B " + Escaped(name) +
                     "\n[\\fIOPTIONS\\fR]" +
                     (commands ? " \\fICOMMAND\\fR [\\fIOPTIONS\\fR]" : "") +
                     "\n.SH DESCRIPTION\n" + Escaped(app.get_description()) + "\n";
  page += ".SH OPTIONS\n" + OptionEntries(app);
  if (commands) page += ".SH COMMANDS\n" + CommandEntries(app, "");
  for (const ManualText::Part& part : text.parts) {
    page += ".SH " + Upper(part.title) + "\n";
    for (size_t i = 0; i < part.paragraphs.size(); ++i)
      page += (i > 0 ? ".PP\n" : "") + Escaped(part.paragraphs[i]) + "\n";
  }
  return page + ExitStatus() + SeeAlso(text.see_also);
}

namespace {

enum class LineKind : uint8_t { kEmpty, kTable, kSetting, kText };

bool IsSetting(const std::string& line) {
  const size_t equals = line.find(" = ");
  return equals != std::string::npos && equals > 0 &&
         line.find_first_not_of("abcdefghijklmnopqrstuvwxyz_0123456789") == equals;
}

// A section's first paragraph needs no sign.
bool HasJustBegun(const std::string& page) {
  return page.rfind("\n.SH ") == page.rfind('\n', page.size() - 2);
}

// What a line is, and its text without the comment sign.
LineKind Read(std::string line, std::string* text) {
  if (line.starts_with("# ")) line.erase(0, 2);
  if (line == "#") line.clear();
  *text = line;
  if (line.empty()) return LineKind::kEmpty;
  if (line.starts_with('[') && line.ends_with(']')) return LineKind::kTable;
  return IsSetting(line) ? LineKind::kSetting : LineKind::kText;
}

}  // namespace

std::string ConfigurationManual(const std::string& example) {
  std::string page = Header("tidemarkd.toml", 5) +
                     ".SH NAME\ntidemarkd.toml \\- configuration of tidemarkd\n.SH DESCRIPTION\n";
  std::istringstream lines(example);
  LineKind before = LineKind::kEmpty;
  std::string pending;  // text that stands in front of a table belongs to the table
  for (std::string line, text; std::getline(lines, line);) {
    const LineKind kind = Read(line, &text);
    if (before == LineKind::kSetting && kind != LineKind::kSetting) page += ".fi\n.RE\n";
    if (kind == LineKind::kTable) {
      page += ".SH " + Escaped(text) + "\n" + pending;
      pending.clear();
    } else if (kind == LineKind::kText) {
      const bool begins = before != LineKind::kText;
      const bool after_heading = pending.empty() && HasJustBegun(page);
      pending += (begins && !after_heading ? ".PP\n" : "") + Escaped(text) + "\n";
    } else if (kind == LineKind::kSetting) {
      page += pending;
      pending.clear();
      if (before != LineKind::kSetting) page += ".RS 4\n.nf\n";
      page += "\\fB" + Escaped(text) + "\\fR\n";
    } else {
      page += pending;
      pending.clear();
    }
    before = kind;
  }
  if (before == LineKind::kSetting) page += ".fi\n.RE\n";
  return page + pending +
         ".SH FILES\n/etc/tidemark/tidemarkd.toml, /usr/share/tidemark/tidemarkd.toml (an "
         "example)\n" +
         SeeAlso({"tidemarkd(8)", "pitr(1)"});
}

ManualText TidemarkdText() {
  ManualText text;
  text.section = 8;
  text.summary = "archives every transaction of MySQL sources";
  text.parts = {
      {"sources that fail",
       {"A source that cannot be reached, or whose archive cannot be gone on with, is tried again "
        "and again, and said so in the log and by pitr status. The other sources are not affected. "
        "tidemarkd ends with an error only if it cannot begin with any of its sources."}},
      {"signals",
       {"SIGTERM, SIGINT: stop; what has been archived is sealed.",
        "SIGHUP: read the configuration again. What differs is logged. A new, changed or removed "
        "source concerns the worker of that source alone; a change to what is served, renewed "
        "certificates and passwords included, interrupts the replicas for a moment; another "
        "archive directory takes a restart. A configuration that is not good is logged and changes "
        "nothing.",
        "Certificates and the access file of remote callers are read again, and the audit file is "
        "opened anew, without anybody's connection being cut, except for streams of callers who "
        "are no longer let in."}},
      {"service manager",
       {"With systemd (Type=notify) tidemarkd is ready when the archive is open and the worker of "
        "every source runs, or is known not to be able to; it then says how many sources are being "
        "archived. The watchdog is told that tidemarkd is alive as long as its main loop makes its "
        "turns and no worker has ended by itself; a worker that waits for its source, or for a "
        "disk, counts as alive."}},
      {"files",
       {"/etc/tidemark/tidemarkd.toml: the configuration. /var/lib/tidemark: the archive, unless "
        "the configuration says otherwise."}}};
  text.see_also = {"tidemarkd.toml(5)", "pitr(1)"};
  return text;
}

ManualText PitrText() {
  ManualText text;
  text.summary = "finds any transaction of a Tidemark archive and restores to just before or after";
  text.parts = {
      {"targets",
       {"A target is a boundary between two transactions: before or through a GTID, before or "
        "through a moment (RFC 3339 with a zone, such as 2026-01-31T12:00:00Z), or the archive's "
        "end. plan and restore print the last transaction included and the first excluded."}},
      {"examples",
       {"pitr status", "pitr locate --time 2026-01-31T12:00:00Z",
        "pitr restore --dump base.sql.zst --into /srv/restored --before-gtid "
        "3E11FA47-71CA-11E1-9E33-C80AA9429562:23"}},
      {"files",
       {"Without --archive, the archive is the one that /etc/tidemark/tidemarkd.toml names."}}};
  text.see_also = {"tidemarkd(8)", "tidemarkd.toml(5)", "mysqlbinlog(1)"};
  return text;
}

}  // namespace tidemark
