#include "tests/support/mysql_paths.h"

#include <unistd.h>

#include <cstdlib>

namespace tidemark::testing {
namespace {

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

}  // namespace

std::string CacheDirectory() {
  if (std::string cache = Variable("TIDEMARK_CACHE"); !cache.empty()) return cache;
  if (std::string cache = Variable("XDG_CACHE_HOME"); !cache.empty()) {
    return cache + "/tidemark";
  }
  return Variable("HOME") + "/.cache/tidemark";
}

std::string MySqlProgram(const std::string& name) {
  if (const std::string bin = Variable("TIDEMARK_MYSQL_BIN"); !bin.empty()) return bin + "/" + name;
  const std::string cached = CacheDirectory() + "/mysql-server/bin/" + name;
  return ::access(cached.c_str(), X_OK) == 0 ? cached : name;
}

}  // namespace tidemark::testing
