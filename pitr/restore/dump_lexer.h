// Cuts the text of a SQL dump into statements and comments, so that a coordinate is found where it
// is a statement (or a commented-out one) and never inside of a string, a trigger's body or a
// table's data.
//
// Follows the `mysql` client's reading of a script: quotes with backslash escapes, "-- ", "#" and
// "/* */" comments,
// "/*!NNNNN … */" as code, DELIMITER lines. Pure; pushed to in pieces of any size. Memory is
// bounded: of an item only the head is kept, more (up to kDumpItemBytesMax) only if that head names
// GTID_PURGED.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace tidemark {

inline constexpr size_t kDumpHeadBytesMax = 512;
inline constexpr size_t kDumpItemBytesMax =
    64 << 20;  // a GTID set of a million intervals has about 20 MB of text

enum class DumpItemKind : uint8_t { kStatement, kBlockComment, kLineComment };

struct DumpItem {
  DumpItemKind kind = DumpItemKind::kStatement;
  std::string
      text;  // of a statement without its delimiter; of a comment without "/*", "*/", "--", "#"
  bool complete = true;    // false: the dump ended inside of it
  bool shortened = false;  // `text` is only its beginning
  uint64_t line = 0;       // where it begins, from 1
};

class DumpLexer {
 public:
  using OnItem = std::function<bool(const DumpItem&)>;  // false: enough
  explicit DumpLexer(OnItem on_item) : on_item_(std::move(on_item)) {}

  bool Feed(std::string_view text);  // false once on_item said enough
  bool Finish();                     // the dump ends here

 private:
  enum class State : uint8_t {
    kBetween,
    kStatement,
    kString,
    kLineComment,
    kBlockComment,
    kInnerLine,
    kInnerBlock
  };

  void Run(std::string_view text, bool last);
  size_t Step(std::string_view rest);
  size_t StepBetween(std::string_view rest);
  size_t StepStatement(std::string_view rest);
  size_t StepDelimiterLine(std::string_view rest);
  void Begin(DumpItemKind kind, State state);
  void Keep(std::string_view text);
  void Emit(bool complete);

  OnItem on_item_;
  State state_ = State::kBetween;
  char quote_ = 0;
  std::string delimiter_ = ";";
  std::string carry_;  // the last few bytes, until what follows them is known
  DumpItem item_;
  bool candidate_ = false;
  bool at_line_start_ = true;
  bool enough_ = false;
  uint64_t line_ = 1;
};

}  // namespace tidemark
