// How long a restore takes and how much disk it needs, before it begins. Pure but for LoadRates and
// RecordRates, which keep what earlier restores on this machine measured in
// $XDG_STATE_HOME/tidemark/rates.json (default ~/.local/state).
//
// time = provision + dump text / load rate + binlog / apply rate
// disk = dump text + binlog to apply + relay log + the target's own binary log + fixed: the dump's
//        text stands for the data that is loaded, the binlog for what applying it adds (an upper
//        bound but for secondary indexes and undo). A server that we make has a limit to its relay
//        log and no binary log while it applies; a running one may have all of it in both.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "pitr/json.h"
#include "pitr/planner.h"
#include "pitr/restore/base_backup.h"
#include "replication/base/file_system.h"

namespace tidemark {

// Of the reference machine (2 cores), where nothing has been measured here yet.
inline constexpr double kReferenceReplicaBytesPerSecond = 16e6;
inline constexpr double kReferencePipeBytesPerSecond = 1e6;
inline constexpr double kReferenceLoadBytesPerSecond = 20e6;  // of the dump's text
inline constexpr double kProvisionSeconds = 8;             // initialize, start, stop, start again
inline constexpr uint64_t kRelayLogBytesMax = 1ULL << 30;  // of a server that is being restored
inline constexpr uint64_t kFixedDiskBytes = 512ULL
                                            << 20;  // an empty server, its undo and temporary files
// A restore of less tells nothing about a rate.
inline constexpr uint64_t kRateBytesMin = 8 << 20;

enum class ApplierKind : uint8_t { kReplica, kPipe };
const char* ApplierKindName(ApplierKind kind);  // "replica", "pipe"

struct Rate {
  double bytes_per_second = 0;
  int64_t measured_us = 0;  // 0: the reference machine's
};

struct Rates {
  Rate load = {kReferenceLoadBytesPerSecond, 0};
  Rate replica = {kReferenceReplicaBytesPerSecond, 0};
  Rate pipe = {kReferencePipeBytesPerSecond, 0};
  Rate& of(ApplierKind kind) { return kind == ApplierKind::kPipe ? pipe : replica; }
  const Rate& of(ApplierKind kind) const { return kind == ApplierKind::kPipe ? pipe : replica; }
};

struct TimeEstimate {
  double provision_seconds = 0;  // 0: nothing is provisioned
  double load_seconds = 0;       // 0: nothing is loaded
  double apply_seconds = 0;
  Rate load, apply;
  ApplierKind applier = ApplierKind::kReplica;
  double seconds() const { return provision_seconds + load_seconds + apply_seconds; }
};

struct DiskEstimate {
  uint64_t dump_bytes = 0;  // 0: it is loaded already
  uint64_t raw_bytes = 0;
  uint64_t relay_log_bytes = 0;  // 0: the pipe, which has none
  uint64_t binlog_bytes = 0;     // of the target's own
  uint64_t fixed_bytes = 0;
  std::optional<uint64_t> free_bytes;  // where it is to go; nullopt: no directory is named
  uint64_t bytes() const {
    return dump_bytes + raw_bytes + relay_log_bytes + binlog_bytes + fixed_bytes;
  }
};

// `dump`: nullptr if none is to be loaded. `provision`: a new server is made (or brought up again).
TimeEstimate EstimateTime(const Plan& plan, const BaseBackup* dump, bool provision,
                          ApplierKind applier, const Rates& rates);
// Likewise; one that is brought up again stands already.
DiskEstimate EstimateDisk(const Plan& plan, const BaseBackup* dump, bool provision,
                          ApplierKind applier);

Json ToJson(const TimeEstimate& time);
Json ToJson(const DiskEstimate& disk);

std::string RatesPath();  // "" if neither XDG_STATE_HOME nor HOME is set
// The reference rates, where nothing was measured or the file cannot be read.
Rates LoadRates(FileSystem& files, const std::string& path);
// Of a restore that is done; bytes or seconds too few to tell anything are passed over, and a
// failure to write is nobody's concern.
struct Measured {
  uint64_t bytes = 0;
  double seconds = 0;
};
void RecordRates(FileSystem& files, const std::string& path, const Measured& load,
                 const Measured& apply, ApplierKind applier, int64_t now_us);

}  // namespace tidemark
