#include "pitr/json.h"
#include "pitr/restore/restore.h"

namespace tidemark {
namespace {

Json BaseToJson(const BaseBackup& base) {
  Json json;
  json["path"] = base.path.empty() ? Json() : Json(base.path);
  json["gtid_set"] = base.gtid_set.ToString();
  json["source_file"] = base.source_file;
  json["source_position"] = base.source_position;
  json["server_version"] = base.server_version;
  json["bytes"] = base.bytes;
  return json;
}

Json TargetToJson(const Receipt& receipt) {
  Json json;
  json["provisioned"] = receipt.provisioned;
  json["directory"] = receipt.directory;
  json["socket"] = receipt.socket;
  json["host"] = receipt.host;
  json["port"] = receipt.port;
  json["mysqld_pid"] = receipt.mysqld_pid;
  json["server_version"] = receipt.server_version;
  json["start_command"] = receipt.start_command;
  return json;
}

Json MeasuredToJson(const Measured& measured) {
  Json json;
  json["bytes"] = measured.bytes;
  json["seconds"] = measured.seconds;
  json["bytes_per_second"] =
      measured.seconds > 0
          ? static_cast<uint64_t>(static_cast<double>(measured.bytes) / measured.seconds)
          : 0;
  return json;
}

}  // namespace

std::string Receipt::ToJson() const {
  Json json;
  json["format"] = "tidemark-restore-receipt/1";
  json["outcome"] = outcome;
  json["error"] = error.ok() ? Json() : tidemark::ToJson(error);
  json["end_state_reached"] = end_state_reached;
  json["gtid_executed"] = gtid_executed.ToString();
  json["gtid_planned"] = plan.end_set.ToString();
  json["missing"] = plan.end_set.Minus(gtid_executed).ToString();
  json["extra"] = gtid_executed.Minus(plan.end_set).ToString();
  AddTime(&json, "started", started_us);
  AddTime(&json, "finished", finished_us);
  json["runs"] = runs;
  json["applier"] = applier;
  json["workers"] = workers.empty() ? Json() : Json(std::stoull(workers));
  json["load"] = MeasuredToJson(load);
  json["apply"] = MeasuredToJson(apply);
  json["durable_checked"] = durable_checked;
  json["target"] = TargetToJson(*this);
  json["base"] = BaseToJson(base);
  json["plan"] = tidemark::ToJson(plan);
  json["warnings"] = warnings;
  return JsonText(json);
}

}  // namespace tidemark
