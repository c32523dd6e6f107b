#include "pitr/restore/estimate.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace tidemark {
namespace {

constexpr char kRatesFormat[] = "tidemark-rates/1";
constexpr uint64_t kRatesBytesMax = 64 << 10;
constexpr double kRateSecondsMin = 0.1;

double SecondsFor(uint64_t bytes, const Rate& rate) {
  return static_cast<double>(bytes) / rate.bytes_per_second;
}

void TakeRate(const Json& json, const char* name, Rate* rate) {
  const auto at = json.find(name);
  if (at == json.end() || !at->is_object()) return;
  const Json bytes = at->value("bytes_per_second", Json()), when = at->value("measured_us", Json());
  if (!bytes.is_number() || !when.is_number_integer()) return;
  const double value = bytes.get<double>();
  if (std::isfinite(value) && value >= 1) *rate = {value, when.get<int64_t>()};
}

void PutRate(Json* json, const char* name, const Rate& rate) {
  if (rate.measured_us == 0) return;
  (*json)[name] = {{"bytes_per_second", rate.bytes_per_second}, {"measured_us", rate.measured_us}};
}

bool Take(const Measured& measured, int64_t now_us, Rate* rate) {
  if (measured.bytes < kRateBytesMin || measured.seconds < kRateSecondsMin) return false;
  *rate = {static_cast<double>(measured.bytes) / measured.seconds, now_us};
  return true;
}

Json RateToJson(const Rate& rate) {
  Json json;
  json["bytes_per_second"] = static_cast<uint64_t>(rate.bytes_per_second);
  AddTime(&json, "measured", rate.measured_us);
  return json;
}

double Rounded(double seconds) { return std::round(seconds * 10) / 10; }

}  // namespace

const char* ApplierKindName(ApplierKind kind) {
  return kind == ApplierKind::kPipe ? "pipe" : "replica";
}

TimeEstimate EstimateTime(const Plan& plan, const BaseBackup* dump, bool provision,
                          ApplierKind applier, const Rates& rates) {
  TimeEstimate time;
  time.applier = applier;
  time.load = rates.load;
  time.apply = rates.of(applier);
  if (provision) time.provision_seconds = kProvisionSeconds;
  if (dump != nullptr) time.load_seconds = SecondsFor(dump->text_bytes, rates.load);
  time.apply_seconds = SecondsFor(plan.apply_bytes, time.apply);
  return time;
}

DiskEstimate EstimateDisk(const Plan& plan, const BaseBackup* dump, bool provision,
                          ApplierKind applier) {
  DiskEstimate disk;
  if (dump != nullptr) disk.dump_bytes = dump->text_bytes;
  disk.raw_bytes = plan.apply_bytes;
  if (applier == ApplierKind::kReplica)
    disk.relay_log_bytes =
        provision ? std::min(plan.apply_bytes, kRelayLogBytesMax) : plan.apply_bytes;
  if (!provision) disk.binlog_bytes = plan.apply_bytes;
  if (provision && dump != nullptr) disk.fixed_bytes = kFixedDiskBytes;
  return disk;
}

Json ToJson(const TimeEstimate& time) {
  return {{"seconds", Rounded(time.seconds())},
          {"provision_seconds", Rounded(time.provision_seconds)},
          {"load_seconds", Rounded(time.load_seconds)},
          {"apply_seconds", Rounded(time.apply_seconds)},
          {"applier", ApplierKindName(time.applier)},
          {"load_rate", RateToJson(time.load)},
          {"apply_rate", RateToJson(time.apply)}};
}

Json ToJson(const DiskEstimate& disk) {
  return {{"bytes", disk.bytes()},
          {"dump_bytes", disk.dump_bytes},
          {"raw_bytes", disk.raw_bytes},
          {"relay_log_bytes", disk.relay_log_bytes},
          {"binlog_bytes", disk.binlog_bytes},
          {"fixed_bytes", disk.fixed_bytes},
          {"free_bytes", disk.free_bytes ? Json(*disk.free_bytes) : Json()}};
}

std::string RatesPath() {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && state[0] == '/') return std::string(state) + "/tidemark/rates.json";
  const char* home = std::getenv("HOME");
  if (home == nullptr || home[0] != '/') return "";
  return std::string(home) + "/.local/state/tidemark/rates.json";
}

Rates LoadRates(FileSystem& files, const std::string& path) {
  Rates rates;
  if (path.empty()) return rates;
  const Result<std::string> text = ReadSmallFile(files, path, kRatesBytesMax);
  if (!text.ok()) return rates;
  const Json json = Json::parse(*text, nullptr, false);
  if (!json.is_object() || json.value("format", Json()) != kRatesFormat) return rates;
  TakeRate(json, "load", &rates.load);
  TakeRate(json, "replica", &rates.replica);
  TakeRate(json, "pipe", &rates.pipe);
  return rates;
}

void RecordRates(FileSystem& files, const std::string& path, const Measured& load,
                 const Measured& apply, ApplierKind applier, int64_t now_us) {
  if (path.empty()) return;
  Rates rates = LoadRates(files, path);
  const bool loaded = Take(load, now_us, &rates.load);
  const bool applied = Take(apply, now_us, &rates.of(applier));
  if (!loaded && !applied) return;
  Json json;
  json["format"] = kRatesFormat;
  PutRate(&json, "load", rates.load);
  PutRate(&json, "replica", rates.replica);
  PutRate(&json, "pipe", rates.pipe);
  if (!files.CreateDirectories(path.substr(0, path.rfind('/'))).ok()) return;
  (void)WriteSmallFileDurably(files, path, JsonText(json));
}

}  // namespace tidemark
