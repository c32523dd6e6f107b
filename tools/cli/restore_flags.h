// Flags that plan and restore share: how it is applied, and what is applied otherwise than on the
// source.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "pitr/restore/restore.h"

namespace tidemark::cli {

struct SurgeryFlags {
  std::vector<std::string> skip, leave_out, only_tables, only_schemas, without_tables;

  void AddTo(CLI::App& command);
  Result<Surgery> Parse() const;
};

void AddApplierFlag(CLI::App& command, std::string* applier);  // "replica" or "pipe"
ApplierKind ParseApplier(const std::string& applier);

}  // namespace tidemark::cli
