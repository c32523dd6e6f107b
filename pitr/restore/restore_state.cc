#include "pitr/restore/restore_state.h"

#include <array>

#include "pitr/json.h"

namespace tidemark {
namespace {

constexpr char kFormat[] = "tidemark-restore-state";
constexpr uint64_t kStateBytesMax = 64 << 20;  // GTID sets may be long

// Persisted: do not change names.
constexpr std::array<const char*, 5> kStepNames = {"claimed", "loaded", "applying", "applied",
                                                   "done"};
constexpr std::array<const char*, 3> kKindNames = {"gtid", "time", "latest"};  // as TargetKind
constexpr std::array<const char*, 2> kEdgeNames = {"before", "through"};       // as Edge

Status Damaged(const std::string& what) {
  return Status(Code::kCorruption, std::string(kRestoreStateFile) + " " + what,
                "remove the directory and restore anew");
}

// Takes members out of an object; the first that is not as it must be is remembered.
class Members {
 public:
  Members(const Json& json, Status* status) : json_(json), status_(*status) {}

  std::string Text(const char* name) {
    const Json* member = Find(name, &Json::is_string);
    return member == nullptr ? "" : member->get<std::string>();
  }
  uint64_t Number(const char* name) {
    const Json* member = Find(name, &Json::is_number_unsigned);
    return member == nullptr ? 0 : member->get<uint64_t>();
  }
  GtidSet Set(const char* name) {
    Result<GtidSet> set = GtidSet::Parse(Text(name));
    if (!set.ok()) Fail(name);
    return set.ok() ? *set : GtidSet();
  }
  template <typename Enum, size_t N>
  Enum Name(const char* name, const std::array<const char*, N>& names) {
    const std::string text = Text(name);
    for (size_t i = 0; i < N; ++i)
      if (text == names[i]) return static_cast<Enum>(i);
    Fail(name);
    return {};
  }
  const Json& Object(const char* name) { return OrEmpty(Find(name, &Json::is_object)); }
  const Json& Array(const char* name) { return OrEmpty(Find(name, &Json::is_array)); }
  void Fail(const char* name) {
    if (status_.ok()) status_ = Damaged(std::string("has no valid \"") + name + "\"");
  }

 private:
  const Json* Find(const char* name, bool (Json::*is)() const noexcept) {
    const auto at = json_.find(name);
    if (at != json_.end() && ((*at).*is)()) return &*at;
    Fail(name);
    return nullptr;
  }
  static const Json& OrEmpty(const Json* json) {
    static const Json kEmpty = Json::object();
    return json == nullptr ? kEmpty : *json;
  }

  const Json& json_;
  Status& status_;
};

std::vector<std::string> DecodeTexts(const char* name, Members* members) {
  std::vector<std::string> texts;
  for (const Json& element : members->Array(name)) {
    if (element.is_string())
      texts.push_back(element.get<std::string>());
    else
      members->Fail(name);
  }
  return texts;
}

std::vector<TableName> DecodeTables(const Json& array, Status* status) {
  std::vector<TableName> tables;
  for (const Json& element : array) {
    Members members(element, status);
    tables.push_back({members.Text("schema"), members.Text("table")});
  }
  return tables;
}

Surgery DecodeSurgery(const Json& json, Status* status) {
  Members members(json, status);
  Surgery surgery;
  surgery.skip = members.Set("skip");
  surgery.leave_out = members.Set("leave_out");
  surgery.only_tables = DecodeTables(members.Array("only_tables"), status);
  surgery.only_schemas = DecodeTexts("only_schemas", &members);
  surgery.without_tables = DecodeTables(members.Array("without_tables"), status);
  return surgery;
}

Json EncodePoint(const Target& point) {
  return {{"kind", kKindNames[static_cast<size_t>(point.kind)]},
          {"edge", kEdgeNames[static_cast<size_t>(point.edge)]},
          {"gtid", point.kind == TargetKind::kGtid ? point.gtid.ToString() : ""},
          {"time_us", static_cast<uint64_t>(point.time_us)}};
}

Target DecodePoint(const Json& json, Status* status) {
  Members members(json, status);
  Target point;
  point.kind = members.Name<TargetKind>("kind", kKindNames);
  point.edge = members.Name<Edge>("edge", kEdgeNames);
  point.time_us = static_cast<int64_t>(members.Number("time_us"));
  if (point.kind == TargetKind::kGtid) {
    Result<Gtid> gtid = Gtid::Parse(members.Text("gtid"));
    if (gtid.ok())
      point.gtid = *gtid;
    else
      members.Fail("gtid");
  }
  return point;
}

}  // namespace

std::string EncodeRestoreState(const RestoreState& state) {
  Json json;
  json["format"] = kFormat;
  json["version"] = kRestoreStateVersion;
  json["step"] = kStepNames[static_cast<size_t>(state.step)];
  json["source"] = state.source;
  json["dump_path"] = state.dump_path;
  json["dump_bytes"] = state.dump_bytes;
  json["point"] = EncodePoint(state.point);
  json["surgery"] = ToJson(state.surgery);
  json["base"] = state.base.ToString();
  json["end_set"] = state.end_set.ToString();
  json["secret_file"] = state.secret_file;
  json["server_id"] = state.server_id;
  json["socket"] = state.socket;
  json["mysqld_options"] = state.mysqld_options;
  json["port"] = state.port;
  json["runs"] = state.runs;
  json["started_us"] = static_cast<uint64_t>(state.started_us);
  return JsonText(json);
}

Result<RestoreState> DecodeRestoreState(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || json.value("format", Json()) != kFormat)
    return Damaged("is not the state of a restore");
  Status status;
  Members members(json, &status);
  const uint64_t version = members.Number("version");
  if (version > static_cast<uint64_t>(kRestoreStateVersion))
    return Status(Code::kUnsupportedFormat,
                  std::string(kRestoreStateFile) + " has version " + std::to_string(version),
                  "it was written by a newer pitr: use that one");
  RestoreState state;
  state.step = members.Name<RestoreStep>("step", kStepNames);
  state.source = members.Text("source");
  state.dump_path = members.Text("dump_path");
  state.dump_bytes = members.Number("dump_bytes");
  state.point = DecodePoint(members.Object("point"), &status);
  state.surgery = DecodeSurgery(members.Object("surgery"), &status);
  state.base = members.Set("base");
  state.end_set = members.Set("end_set");
  state.secret_file = members.Text("secret_file");
  const uint64_t server_id = members.Number("server_id");
  state.server_id = static_cast<uint32_t>(server_id);
  if (server_id != state.server_id) members.Fail("server_id");
  state.socket = members.Text("socket");
  state.mysqld_options = DecodeTexts("mysqld_options", &members);
  const uint64_t port = members.Number("port");
  state.port = static_cast<uint16_t>(port);
  if (port != state.port) members.Fail("port");
  state.runs = members.Number("runs");
  state.started_us = static_cast<int64_t>(members.Number("started_us"));
  if (!status.ok()) return status;
  return state;
}

Result<std::optional<RestoreState>> ReadRestoreState(FileSystem& files,
                                                     const std::string& directory) {
  const std::string path = JoinPath(directory, kRestoreStateFile);
  if (!files.Exists(path)) return std::optional<RestoreState>();
  TM_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(files, path, kStateBytesMax));
  Result<RestoreState> state = DecodeRestoreState(text);
  if (!state.ok()) return Status(state.error()).WithContext(directory);
  return std::optional<RestoreState>(std::move(*state));
}

Status WriteRestoreState(FileSystem& files, const std::string& directory,
                         const RestoreState& state) {
  return WriteSmallFileDurably(files, JoinPath(directory, kRestoreStateFile),
                               EncodeRestoreState(state));
}

}  // namespace tidemark
