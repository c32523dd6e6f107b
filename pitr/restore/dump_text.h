// Words of SQL text, compared without regard to case. Pure.
#pragma once

#include <cstddef>
#include <string_view>

namespace tidemark {

inline char Upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

inline bool IsWordByte(char c) {
  return (Upper(c) >= 'A' && Upper(c) <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$';
}

inline bool StartsWith(std::string_view text, std::string_view upper_case) {
  if (text.size() < upper_case.size()) return false;
  for (size_t i = 0; i < upper_case.size(); ++i)
    if (Upper(text[i]) != upper_case[i]) return false;
  return true;
}

inline bool StartsWithWord(std::string_view text, std::string_view upper_case) {
  return StartsWith(text, upper_case) &&
         (text.size() == upper_case.size() || !IsWordByte(text[upper_case.size()]));
}

inline bool ContainsWord(std::string_view text, std::string_view upper_case) {
  for (size_t i = 0; i + upper_case.size() <= text.size(); ++i)
    if ((i == 0 || !IsWordByte(text[i - 1])) && StartsWithWord(text.substr(i), upper_case))
      return true;
  return false;
}

}  // namespace tidemark
