#include "tools/cli/restore_flags.h"

namespace tidemark::cli {
namespace {

Result<GtidSet> ParseSets(const std::vector<std::string>& texts) {
  GtidSet all;
  for (const std::string& text : texts) {
    TM_ASSIGN_OR_RETURN(const GtidSet set, GtidSet::Parse(text));
    all.Add(set);
  }
  return all;
}

Result<std::vector<TableName>> ParseTables(const std::vector<std::string>& texts) {
  std::vector<TableName> tables;
  for (const std::string& text : texts) {
    TM_ASSIGN_OR_RETURN(TableName table, ParseTableName(text));
    tables.push_back(std::move(table));
  }
  return tables;
}

}  // namespace

void SurgeryFlags::AddTo(CLI::App& command) {
  auto* group = command.add_option_group(
      "surgery", "To end otherwise than the source; each may be given several times");
  const auto add = [group](const char* flag, std::vector<std::string>* values, const char* what,
                           const char* type) {
    group->add_option(flag, *values, what)->type_name(type)->allow_extra_args(false);
  };
  add("--skip-gtid", &skip, "execute these as empty transactions", "SET");
  add("--leave-out", &leave_out, "do not execute these: they leave holes in gtid_executed", "SET");
  add("--only-table", &only_tables, "write this table only", "SCHEMA.TABLE");
  add("--only-schema", &only_schemas, "write this schema only", "SCHEMA");
  add("--without-table", &without_tables, "do not write this table", "SCHEMA.TABLE");
}

Result<Surgery> SurgeryFlags::Parse() const {
  Surgery surgery;
  TM_ASSIGN_OR_RETURN(surgery.skip, ParseSets(skip));
  TM_ASSIGN_OR_RETURN(surgery.leave_out, ParseSets(leave_out));
  TM_ASSIGN_OR_RETURN(surgery.only_tables, ParseTables(only_tables));
  for (const std::string& text : only_schemas) {
    TM_ASSIGN_OR_RETURN(std::string schema, ParseSchemaName(text));
    surgery.only_schemas.push_back(std::move(schema));
  }
  TM_ASSIGN_OR_RETURN(surgery.without_tables, ParseTables(without_tables));
  TM_RETURN_IF_ERROR(CheckSurgery(surgery));
  return surgery;
}

void AddApplierFlag(CLI::App& command, std::string* applier) {
  command
      .add_option("--applier", *applier,
                  "replica: the target's own parallel replication; pipe: mysqlbinlog | mysql, slow")
      ->check(CLI::IsMember({"replica", "pipe"}))
      ->capture_default_str();
}

ApplierKind ParseApplier(const std::string& applier) {
  return applier == "pipe" ? ApplierKind::kPipe : ApplierKind::kReplica;
}

}  // namespace tidemark::cli
