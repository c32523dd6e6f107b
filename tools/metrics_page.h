// The page /metrics: numbers in, Prometheus' text format out (prometheus-cpp's serializer). Pure.
// Names, units and meanings of all metrics are here; dashboard and alert rules (deploy/) live on
// them, and tests/unit/daemon/metrics_page_test.cc holds the two together.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pitr/serve/replica_server.h"
#include "proto/rpc/rpc_server.h"
#include "replication/sink/source_archiver.h"
#include "tools/archive_totals.h"

namespace tidemark {

struct SourceMetrics {
  std::string name;
  std::string state;  // SourceWorker::StateName
  ArchiverStatus archiver;
  int64_t heartbeat_us = 0;             // as configured
  std::optional<ArchiveTotals> totals;  // nullopt: the index gave no answer
};

struct ProcessMetrics {
  double cpu_seconds = 0;
  double start_seconds = 0;  // since the epoch
  uint64_t resident_bytes = 0;
  uint64_t virtual_bytes = 0;
  uint64_t open_fds = 0;
  uint64_t max_fds = 0;
  uint64_t threads = 0;
};

struct DiskMetrics {
  uint64_t size_bytes = 0;
  uint64_t available_bytes = 0;
};

struct DaemonNumbers {
  std::string version;
  int64_t now_us = 0;
  std::vector<SourceMetrics> sources;
  std::optional<uint64_t> index_bytes;               // nullopt: the index gave no answer
  std::optional<DiskMetrics> disk;                   // of the archive
  std::optional<uint64_t> space_reserve_bytes = {};  // nullopt: there shall be none
  bool serving = false;                              // [serve] is configured
  ServeCounters serve;
  std::vector<ServedReplica> replicas;
  rpc::RpcCounters rpc;
  ProcessMetrics process;
};

inline constexpr const char* kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";
std::string RenderMetrics(const DaemonNumbers& numbers);

}  // namespace tidemark
