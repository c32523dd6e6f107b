// Reading a page of metrics in Prometheus' text format, as this project's tests need it.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <sstream>
#include <string>

namespace tidemark::testing {

// Series of a page, by name: their labels with all values seen.
struct MetricsPage {
  explicit MetricsPage(const std::string& text) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      if (line.empty() || line[0] == '#') continue;
      const size_t name_end = line.find_first_of("{ ");
      auto& labels = series[line.substr(0, name_end)];
      const size_t value = line.rfind(' ');
      values[line.substr(0, value)] = std::stod(line.substr(value + 1));
      for (size_t at = name_end; line[at] != ' ' && line[at] != '}';) {
        const size_t equals = line.find("=\"", at + 1), quote = line.find('"', equals + 2);
        labels[line.substr(at + 1, equals - at - 1)].insert(
            line.substr(equals + 2, quote - equals - 2));
        at = quote + 1;
      }
    }
  }
  // Of a series as it stands in the page.
  double Value(const std::string& one) const {
    const auto found = values.find(one);
    EXPECT_NE(found, values.end()) << one;
    return found == values.end() ? -1 : found->second;
  }
  bool Has(const std::string& one) const { return values.contains(one); }

  std::map<std::string, std::map<std::string, std::set<std::string>>> series;
  std::map<std::string, double> values;
};

}  // namespace tidemark::testing
