// Reads the keys of one table of a configuration file, and notes in `settings` what then holds. The
// first thing found wrong is kept and reported at the end, so that reading stays flat.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <toml.hpp>
#include <utility>
#include <vector>

#include "tools/daemon_config.h"

namespace tidemark {

class ConfigTable {
 public:
  ConfigTable(const toml::value& value, std::string name, Settings* settings)
      : value_(value), name_(std::move(name)), settings_(*settings) {}

  void Text(const char* key, std::string* out) {
    const toml::value* found = Find(key);
    if (found != nullptr && !found->is_string()) return Complain(*found, key, "must be a string");
    if (found != nullptr) *out = found->as_string().str;
    settings_[key] = '"' + *out + '"';
  }
  void Flag(const char* key, bool* out) {
    const toml::value* found = Find(key);
    if (found != nullptr && !found->is_boolean())
      return Complain(*found, key, "must be true or false");
    if (found != nullptr) *out = found->as_boolean();
    settings_[key] = *out ? "true" : "false";
  }
  void Flag(const char* key, std::optional<bool>* out) {
    if (Find(key) == nullptr) {
      settings_[key] = "not set";
      return;
    }
    bool value = false;
    Flag(key, &value);
    *out = value;
  }
  template <typename Integer>
  void Number(const char* key, int64_t min, int64_t max, Integer* out, int64_t unit = 1) {
    const toml::value* found = Find(key);
    if (found != nullptr &&
        (!found->is_integer() || found->as_integer() < min || found->as_integer() > max))
      return Complain(
          *found, key,
          "must be a whole number from " + std::to_string(min) + " to " + std::to_string(max));
    if (found != nullptr) *out = static_cast<Integer>(found->as_integer() * unit);
    settings_[key] = std::to_string(static_cast<int64_t>(*out) / unit);
  }
  void Texts(const char* key, std::vector<std::string>* out) {
    const toml::value* found = Find(key);
    if (found != nullptr && !found->is_array())
      return Complain(*found, key, "must be an array of strings");
    for (size_t i = 0; found != nullptr && i < found->as_array().size(); ++i) {
      const toml::value& one = found->as_array()[i];
      if (!one.is_string() || one.as_string().str.empty())
        return Complain(one, key, "must be an array of strings");
      out->push_back(one.as_string().str);
    }
    std::string& shown = settings_[key];
    for (const std::string& one : *out) shown += (shown.empty() ? "\"" : ", \"") + one + '"';
    shown = '[' + shown + ']';
  }
  // One of several words.
  template <typename Enum>
  void Choice(const char* key, std::initializer_list<std::pair<const char*, Enum>> choices,
              Enum* out) {
    std::string words, word;
    for (const auto& [name, value] : choices) {
      words += (words.empty() ? "" : ", ") + std::string(name);
      if (value == *out) word = name;
    }
    Text(key, &word);
    for (const auto& [name, value] : choices)
      if (word == name) {
        *out = value;
        return;
      }
    Complain(value_.contains(key) ? value_.at(key) : value_, key, "must be one of " + words);
  }
  const toml::value* Find(const char* key) {
    known_.insert(key);
    return value_.contains(key) ? &value_.at(key) : nullptr;
  }
  void Complain(const toml::value& where, const std::string& key, const std::string& what) {
    if (status_.ok())
      status_ = Status(Code::kUsage, where.location().file_name() + ":" +
                                         std::to_string(where.location().line()) + ": " + name_ +
                                         key + " " + what);
  }
  Status Finish() {
    for (const auto& [key, value] : value_.as_table())
      if (!known_.contains(key)) Complain(value, key, "is not a setting that tidemarkd knows");
    return status_;
  }

 private:
  const toml::value& value_;
  const std::string name_;
  Settings& settings_;
  std::set<std::string, std::less<>> known_;
  Status status_;
};

}  // namespace tidemark
