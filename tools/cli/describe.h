// One transaction, boundary or plan in words.
#pragma once

#include <optional>
#include <string>

#include "pitr/planner.h"

namespace tidemark::cli {

std::string Describe(const Located& located);  // GTID, time, what it did
std::string DescribeOptional(const std::optional<Located>& located, const std::string& if_none);
void PrintPlan(const Plan& plan);

}  // namespace tidemark::cli
