// Prometheus' promtool, which says whether a page is what Prometheus reads: the one in PATH, or the
// one that tools/bootstrap fetched. Tests that need it skip, visibly, where it is not.
#pragma once

#include <unistd.h>

#include <string>

#include "tests/support/mysql_paths.h"
#include "tests/support/process.h"

namespace tidemark::testing {

// "": there is none.
inline std::string Promtool() {
  const std::string fetched = CacheDirectory() + "/promtool/promtool";
  if (::access(fetched.c_str(), X_OK) == 0) return fetched;
  const auto installed = RunProgram({"promtool", "--version"});
  return installed.ok() && installed->exit_code == 0 ? "promtool" : "";
}

// "" if it finds nothing to complain about, names and units included.
inline std::string CheckMetrics(const std::string& page) {
  ProgramOptions options;
  options.stdin_text = page;
  const auto checked = RunProgram({Promtool(), "check", "metrics"}, options);
  if (!checked.ok()) return checked.error().message();
  const std::string said = checked->out + checked->err;
  return checked->exit_code == 0 ? said : "exit code " + std::to_string(checked->exit_code) + said;
}

}  // namespace tidemark::testing
