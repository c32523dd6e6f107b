// A daemon with something to say in every family of its page.
#pragma once

#include <string>

#include "tools/metrics_page.h"

namespace tidemark::testing {

inline constexpr int64_t kNowUs = 1'800'000'000'000'000;

inline SourceMetrics BusySource(const std::string& name) {
  SourceMetrics source;
  source.name = name;
  source.state = "archiving";
  source.heartbeat_us = 5'000'000;
  source.archiver.state = ArchiverState::kArchiving;
  source.archiver.last_error = Status(Code::kDiskFull, "no space");  // of another moment
  source.archiver.connections = 3;
  source.archiver.semi_sync = SemiSyncState::kOn;
  source.archiver.acks.wanted = 5;
  source.archiver.acks.answered = 4;
  source.archiver.acks.latency_counts[2] = 4;
  source.archiver.acks.latency_us_sum = 1'600;
  MeterReading& meter = source.archiver.meter;
  meter.received_bytes = 5'000'000'000;
  meter.received_transactions = 70;
  meter.archived_transactions = 60;
  meter.segments_sealed[SealReason::kSize] = 2;
  meter.failures[Code::kSourceUnavailable] = 4;
  meter.durable_latency.counts = {1, 2, 3};
  meter.durable_latency.counts.back() = 1;
  meter.durable_latency.sum_us = 2'500'000;
  meter.sync_times.counts = {4};
  meter.heard_us = meter.last_commit_us = kNowUs - 1'000'000;
  meter.heard = MeterReading::Heard::kTransaction;
  meter.last_delay_us = 2'500;
  source.totals = ArchiveTotals{{7, 700, 70, 50}, {1, 100, 10, 10}, meter.last_commit_us, 11, 13};
  return source;
}

inline DaemonNumbers BusyDaemon() {
  DaemonNumbers numbers;
  numbers.version = "1.2.3";
  numbers.now_us = kNowUs;
  numbers.sources = {BusySource("main"), BusySource("other")};
  numbers.index_bytes = 4096;
  numbers.disk = DiskMetrics{1'000'000, 400'000};
  numbers.space_reserve_bytes = 64 << 20;
  numbers.serving = true;
  numbers.serve.sources["main"] = {4, 1, 60, 6'000};
  numbers.replicas.resize(1);
  numbers.replicas[0].source = "main";
  numbers.rpc.calls[{"tidemark.v1.ArchiveService/Locate", "ok"}] = {9, 0.25};
  numbers.rpc.calls[{"unknown", "unimplemented"}] = {1, 0.0};
  numbers.rpc.stream_messages["tidemark.v1.StreamService/StreamEvents"] = 12;
  numbers.process = {1.5, 1.7e9, 1 << 20, 1 << 24, 20, 1024, 9};
  return numbers;
}

}  // namespace tidemark::testing
