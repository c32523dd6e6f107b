#include "tools/metrics_page.h"

#include <algorithm>

#include "tools/metric_families.h"

namespace tidemark {
namespace {

using prometheus::MetricType;
using Labels = MetricFamilies::Labels;

constexpr auto kCounter = MetricType::Counter;
constexpr auto kGauge = MetricType::Gauge;

double Seconds(int64_t us) { return static_cast<double>(us) / 1e6; }
double Number(uint64_t value) { return static_cast<double>(value); }

Labels Of(const SourceMetrics& source) { return {{"source", source.name}}; }
Labels Of(const SourceMetrics& source, const char* name, std::string value) {
  return {{"source", source.name}, {name, std::move(value)}};
}

// One value per source; nullopt: nothing to say.
struct SourceFamily {
  MetricType type;
  const char* name;
  const char* help;
  std::optional<double> (*value)(const SourceMetrics&, int64_t now_us);
};

std::optional<double> TimeOf(int64_t us) {
  return us == 0 ? std::nullopt : std::optional(Seconds(us));
}

int64_t LastCommit(const SourceMetrics& source) {
  const int64_t index = source.totals ? source.totals->last_commit_us : 0;
  const int64_t here = source.archiver.meter.last_commit_us;
  return here != 0 ? here : index;
}

std::optional<double> Lag(const SourceMetrics& source, int64_t now_us) {
  const bool connected = source.archiver.state == ArchiverState::kArchiving;
  const int64_t lag_us = LagUs(source.archiver.meter, connected, LastCommit(source), now_us);
  return lag_us < 0 ? std::nullopt : std::optional(Seconds(lag_us));
}

const SourceFamily kSourceFamilies[] = {
    {kGauge, "tidemark_source_up",
     "1 while the source's binary log is being received and archived, 0 while it is not.",
     [](const SourceMetrics& s, int64_t) -> std::optional<double> {
       return s.archiver.state == ArchiverState::kArchiving ? 1 : 0;
     }},
    {kGauge, "tidemark_source_lag_seconds",
     "Age of the oldest commit that the archive may lack: what would be lost if the source were "
     "lost now. 0 for an idle source whose transactions are all durable; without a connection it "
     "grows from the moment the archive was last known to be complete. A difference between the "
     "source's clock and ours is part of it.",
     Lag},
    {kGauge, "tidemark_source_lag_transactions",
     "Transactions known to be on the source and not yet durable here: those it had executed when "
     "we connected and has not sent since, or those received that are not on disk yet.",
     [](const SourceMetrics& s, int64_t) -> std::optional<double> {
       return Number(LagTransactions(s.archiver.meter));
     }},
    {kGauge, "tidemark_source_pending_transactions",
     "Transactions received from the source that are not durable yet.",
     [](const SourceMetrics& s, int64_t) -> std::optional<double> {
       return Number(s.archiver.meter.pending_transactions);
     }},
    {kGauge, "tidemark_source_last_commit_timestamp_seconds",
     "Commit time (the source's clock) of the last transaction that is durable in the archive.",
     [](const SourceMetrics& s, int64_t) { return TimeOf(LastCommit(s)); }},
    {kGauge, "tidemark_source_last_contact_timestamp_seconds",
     "When the source was last heard of, by an event or a heartbeat.",
     [](const SourceMetrics& s, int64_t) { return TimeOf(s.archiver.meter.heard_us); }},
    {kGauge, "tidemark_source_heartbeat_interval_seconds",
     "How often an idle source sends a heartbeat (heartbeat_ms of the configuration).",
     [](const SourceMetrics& s, int64_t) -> std::optional<double> {
       return Seconds(s.heartbeat_us);
     }},
    {kCounter, "tidemark_source_reconnects_total",
     "Connections made to the source after the first one.",
     [](const SourceMetrics& s, int64_t) -> std::optional<double> {
       return Number(s.archiver.connections - std::min<uint64_t>(s.archiver.connections, 1));
     }},
    {kCounter, "tidemark_source_heartbeats_total", "Heartbeats received from the source.",
     [](const SourceMetrics& s, int64_t) -> std::optional<double> {
       return Number(s.archiver.meter.heartbeats);
     }},
    {kCounter, "tidemark_source_received_bytes_total",
     "Bytes of binary log events received from the source.",
     [](const SourceMetrics& s, int64_t) -> std::optional<double> {
       return Number(s.archiver.meter.received_bytes);
     }},
    {kCounter, "tidemark_source_received_transactions_total",
     "Transactions received from the source; one that had to be sent again counts again.",
     [](const SourceMetrics& s, int64_t) -> std::optional<double> {
       return Number(s.archiver.meter.received_transactions);
     }},
    {kCounter, "tidemark_source_archived_bytes_total",
     "Bytes of binary log made durable in the archive, before compression.",
     [](const SourceMetrics& s, int64_t) -> std::optional<double> {
       return Number(s.archiver.meter.archived_raw_bytes);
     }},
    {kCounter, "tidemark_source_stored_bytes_total",
     "Bytes that the archive's files have grown by, after compression.",
     [](const SourceMetrics& s, int64_t) -> std::optional<double> {
       return Number(s.archiver.meter.archived_stored_bytes);
     }},
    {kCounter, "tidemark_source_archived_transactions_total",
     "Transactions made durable in the archive.",
     [](const SourceMetrics& s, int64_t) -> std::optional<double> {
       return Number(s.archiver.meter.archived_transactions);
     }},
    {kCounter, "tidemark_source_fdatasync_failures_total",
     "Calls of fdatasync for this source's segments that failed. What was not durable then is "
     "fetched from the source again.",
     [](const SourceMetrics& s, int64_t) -> std::optional<double> {
       return Number(s.archiver.meter.sync_failures);
     }},
    {kGauge, "tidemark_source_transactions", "Transactions in the archive of this source.",
     [](const SourceMetrics& s, int64_t) -> std::optional<double> {
       if (!s.totals) return std::nullopt;
       return Number(s.totals->sealed.transactions + s.totals->open.transactions);
     }},
};

void AddStates(const DaemonNumbers& numbers, MetricFamilies* page) {
  page->Begin(kGauge, "tidemark_source_state",
              "1 for the state that the source is in, 0 for the others: starting (what is on disk "
              "is being checked), connecting, archiving, waiting (to try again after an error), "
              "cannot-start (the error is on our side), paused (by an administrator), stopped.");
  for (const SourceMetrics& source : numbers.sources)
    for (const char* state :
         {"starting", "connecting", "archiving", "waiting", "cannot-start", "paused", "stopped"})
      page->Sample(Of(source, "state", state), source.state == state ? 1 : 0);
  page->Begin(
      kGauge, "tidemark_source_error",
      "1 while the source is in trouble, with the class of its last error, as in the table "
      "of exit codes; absent while all is well. The words are in the log and in pitr status.");
  for (const SourceMetrics& source : numbers.sources)
    if (const Status& error = source.archiver.last_error; !error.ok())
      page->Sample(Of(source, "code", CodeName(error.code())), 1);
  page->Begin(kCounter, "tidemark_source_failures_total",
              "How often archiving the source was interrupted by an error, by its class; a source "
              "that cannot be reached counts at each try.");
  for (const SourceMetrics& source : numbers.sources)
    for (const auto& [code, count] : source.archiver.meter.failures)
      page->Sample(Of(source, "code", CodeName(code)), Number(count));
}

void AddTimes(const DaemonNumbers& numbers, MetricFamilies* page) {
  page->Begin(MetricType::Histogram, "tidemark_source_durable_latency_seconds",
              "From the arrival of a transaction's last event to the transaction being durable and "
              "in the index, per transaction.");
  for (const SourceMetrics& source : numbers.sources) {
    const LatencyHistogram::Counts& times = source.archiver.meter.durable_latency;
    page->Histogram(Of(source), LatencyHistogram::kBoundsUs, times.counts, times.sum_us);
  }
  page->Begin(MetricType::Histogram, "tidemark_source_fdatasync_duration_seconds",
              "Duration of the fdatasync calls by which transactions become durable, each for all "
              "transactions that waited.");
  for (const SourceMetrics& source : numbers.sources) {
    const LatencyHistogram::Counts& times = source.archiver.meter.sync_times;
    page->Histogram(Of(source), LatencyHistogram::kBoundsUs, times.counts, times.sum_us);
  }
}

// A sample for the sealed segments, and one for the open one.
void AddTotals(const DaemonNumbers& numbers, MetricFamilies* page, const char* name,
               const char* help, uint64_t SegmentTotals::*number) {
  page->Begin(kGauge, name, help);
  for (const SourceMetrics& source : numbers.sources) {
    if (!source.totals) continue;
    page->Sample(Of(source, "state", "sealed"), Number(source.totals->sealed.*number));
    page->Sample(Of(source, "state", "open"), Number(source.totals->open.*number));
  }
}

void AddSegments(const DaemonNumbers& numbers, MetricFamilies* page) {
  AddTotals(numbers, page, "tidemark_source_segments",
            "Segments of the archive: sealed ones, and the one being written.",
            &SegmentTotals::segments);
  AddTotals(numbers, page, "tidemark_source_segment_raw_bytes",
            "Bytes of binary log in the segments, before compression.", &SegmentTotals::raw_bytes);
  AddTotals(numbers, page, "tidemark_source_segment_stored_bytes", "Bytes of the segments' files.",
            &SegmentTotals::stored_bytes);
  page->Begin(
      kCounter, "tidemark_source_segments_sealed_total",
      "Segments sealed, by reason: rotation of the source's file, size, age, stop, recovery "
      "after a failure, source-change.");
  for (const SourceMetrics& source : numbers.sources)
    for (const auto& [reason, count] : source.archiver.meter.segments_sealed)
      page->Sample(Of(source, "reason", SealReasonName(reason)), Number(count));
  page->Begin(
      kGauge, "tidemark_source_gap_transactions",
      "Transactions that are missing in the archive for good. at=\"start\": they were "
      "purged on the source before it was archived at all, the archive begins behind them; "
      "at=\"inside\": a hole, through which no restore can go. acknowledged=\"true\": somebody "
      "has said that this is known. With those that were adopted and behind which nothing is "
      "archived yet.");
  for (const SourceMetrics& source : numbers.sources) {
    if (!source.totals) continue;
    const ArchiveTotals& totals = *source.totals;
    const auto add = [&](const char* at, uint64_t missing, uint64_t acknowledged) {
      for (const bool known : {false, true}) {
        Labels labels = Of(source, "at", at);
        labels.push_back({"acknowledged", known ? "true" : "false"});
        page->Sample(labels, Number(known ? acknowledged : missing - acknowledged));
      }
    };
    const uint64_t ahead = source.archiver.gap_ahead.missing.Count();
    const bool begun = totals.sealed.segments + totals.open.segments > 0;
    add("start", totals.gap_at_start + (begun ? 0 : ahead), totals.acknowledged_at_start);
    add("inside", totals.gap_inside + (begun ? ahead : 0), totals.acknowledged_inside);
  }
}

void AddSemiSync(const DaemonNumbers& numbers, MetricFamilies* page) {
  page->Begin(kGauge, "tidemark_source_semi_sync_state",
              "1 for the state that semi-synchronous replication is in, 0 for the others: off (not "
              "wanted), unknown (not connected), unavailable (the source has no plugin for it), "
              "ready (connected, and nothing was committed since), not-waiting (the source's last "
              "commits did not wait for the archive), on (they wait until it has them).");
  for (const SourceMetrics& source : numbers.sources)
    for (const SemiSyncState state :
         {SemiSyncState::kOff, SemiSyncState::kUnknown, SemiSyncState::kUnavailable,
          SemiSyncState::kReady, SemiSyncState::kNotWaiting, SemiSyncState::kOn})
      page->Sample(Of(source, "state", SemiSyncStateName(state)),
                   source.archiver.semi_sync == state ? 1 : 0);
  const auto counter = [&](const char* name, const char* help, uint64_t AckCounters::*number) {
    page->Begin(kCounter, name, help);
    for (const SourceMetrics& source : numbers.sources)
      page->Sample(Of(source), Number(source.archiver.acks.*number));
  };
  counter("tidemark_source_semi_sync_wanted_total",
          "Commits for which the source wanted an acknowledgement.", &AckCounters::wanted);
  counter("tidemark_source_semi_sync_answered_total",
          "Of these, commits that were acknowledged, once durable.", &AckCounters::answered);
  counter("tidemark_source_semi_sync_acks_sent_total",
          "Acknowledgements sent to the source; one may answer for many commits.",
          &AckCounters::sent);
  page->Begin(MetricType::Histogram, "tidemark_source_semi_sync_ack_latency_seconds",
              "From the arrival of a commit that wants an acknowledgement to the acknowledgement: "
              "beside the network, what semi-synchronous replication adds to a commit.");
  for (const SourceMetrics& source : numbers.sources)
    page->Histogram(Of(source), AckCounters::kLatencyUsBounds, source.archiver.acks.latency_counts,
                    source.archiver.acks.latency_us_sum);
}

void AddArchive(const DaemonNumbers& numbers, MetricFamilies* page) {
  page->Begin(kGauge, "tidemark_index_readable", "1 if the index answers, 0 if it gives errors.");
  page->Sample({}, numbers.index_bytes ? 1 : 0);
  page->Begin(kGauge, "tidemark_index_size_bytes", "Bytes of the index's files.");
  if (numbers.index_bytes) page->Sample({}, Number(*numbers.index_bytes));
  page->Begin(kGauge, "tidemark_archive_filesystem_avail_bytes",
              "Free bytes of the file system that the archive is on, for an ordinary user.");
  if (numbers.disk) page->Sample({}, Number(numbers.disk->available_bytes));
  page->Begin(kGauge, "tidemark_archive_filesystem_size_bytes",
              "Size of the file system that the archive is on.");
  if (numbers.disk) page->Sample({}, Number(numbers.disk->size_bytes));
  page->Begin(kGauge, "tidemark_space_reserve_bytes",
              "Size of the space reserve: 0 while it is given up, because the disk was full, and "
              "archiving waits for room, or where there never was room for it.");
  if (numbers.space_reserve_bytes) page->Sample({}, Number(*numbers.space_reserve_bytes));
}

void AddServing(const DaemonNumbers& numbers, MetricFamilies* page) {
  if (!numbers.serving) return;
  using Counts = ServeCounters::Source;
  page->Begin(kGauge, "tidemark_serve_replicas",
              "Replicas that are being served from the archive.");
  for (const auto& [name, counts] : numbers.serve.sources)
    page->Sample({{"source", name}},
                 static_cast<double>(std::count_if(
                     numbers.replicas.begin(), numbers.replicas.end(),
                     [&name = name](const auto& replica) { return replica.source == name; })));
  const auto counter = [&](const char* name, const char* help, uint64_t Counts::*number) {
    page->Begin(kCounter, name, help);
    for (const auto& [source, counts] : numbers.serve.sources)
      page->Sample({{"source", source}}, Number(counts.*number));
  };
  counter("tidemark_serve_dumps_total", "Dumps begun by replicas.", &Counts::dumps);
  counter("tidemark_serve_dumps_refused_total",
          "Dumps refused or ended by an error that the replica was told, such as transactions that "
          "the archive does not have.",
          &Counts::dumps_refused);
  counter("tidemark_serve_sent_transactions_total", "Transactions sent to replicas.",
          &Counts::transactions_sent);
  counter("tidemark_serve_sent_bytes_total", "Bytes sent to replicas.", &Counts::bytes_sent);
  page->Begin(kCounter, "tidemark_serve_logins_refused_total",
              "Logins at the replication port that were refused.");
  page->Sample({}, Number(numbers.serve.logins_refused));
  page->Begin(kCounter, "tidemark_serve_connections_refused_total",
              "Connections to the replication port that were turned away: too many.");
  page->Sample({}, Number(numbers.serve.connections_refused));
}

void AddRpc(const DaemonNumbers& numbers, MetricFamilies* page) {
  const rpc::RpcCounters& rpc = numbers.rpc;
  page->Begin(MetricType::Summary, "tidemark_rpc_call_duration_seconds",
              "Calls answered, by method and result, and how long they took; a stream lasts until "
              "its end.");
  for (const auto& [key, calls] : rpc.calls)
    page->Summary({{"method", key.first}, {"code", key.second}}, calls.count, calls.seconds);
  page->Begin(kCounter, "tidemark_rpc_stream_messages_total", "Messages sent in streams.");
  for (const auto& [method, count] : rpc.stream_messages)
    page->Sample({{"method", method}}, Number(count));
  const auto one = [&](MetricType type, const char* name, const char* help, uint64_t value) {
    page->Begin(type, name, help);
    page->Sample({}, Number(value));
  };
  one(kCounter, "tidemark_rpc_received_bytes_total", "Bytes received from RPC clients.",
      rpc.bytes_in);
  one(kCounter, "tidemark_rpc_sent_bytes_total", "Bytes sent to RPC clients.", rpc.bytes_out);
  one(kCounter, "tidemark_rpc_connections_accepted_total", "RPC connections accepted.",
      rpc.connections_accepted);
  one(kCounter, "tidemark_rpc_connections_refused_total", "RPC connections turned away: too many.",
      rpc.connections_refused);
  one(kGauge, "tidemark_rpc_connections", "Open RPC connections.", rpc.connections);
  one(kGauge, "tidemark_rpc_active_calls", "Calls being answered.", rpc.active_calls);
  one(kGauge, "tidemark_rpc_active_streams", "Streams under way.", rpc.active_streams);
}

// Under the names that every Prometheus client gives them.
void AddProcess(const DaemonNumbers& numbers, MetricFamilies* page) {
  page->Begin(kGauge, "tidemark_build_info", "1; the label says which version runs.");
  page->Sample({{"version", numbers.version}}, 1);
  const auto one = [&](MetricType type, const char* name, const char* help, double value) {
    page->Begin(type, name, help);
    page->Sample({}, value);
  };
  const ProcessMetrics& process = numbers.process;
  one(kCounter, "process_cpu_seconds_total", "CPU time used, in user and system mode.",
      process.cpu_seconds);
  one(kGauge, "process_start_time_seconds", "When the process was started, since the epoch.",
      process.start_seconds);
  one(kGauge, "process_resident_memory_bytes", "Memory in RAM.", Number(process.resident_bytes));
  one(kGauge, "process_virtual_memory_bytes", "Address space.", Number(process.virtual_bytes));
  one(kGauge, "process_open_fds", "Open file descriptors.", Number(process.open_fds));
  one(kGauge, "process_max_fds", "File descriptors that may be open.", Number(process.max_fds));
  one(kGauge, "process_threads", "Threads.", Number(process.threads));
}

}  // namespace

std::string RenderMetrics(const DaemonNumbers& numbers) {
  MetricFamilies page;
  AddStates(numbers, &page);
  for (const SourceFamily& family : kSourceFamilies) {
    page.Begin(family.type, family.name, family.help);
    for (const SourceMetrics& source : numbers.sources)
      if (const auto value = family.value(source, numbers.now_us)) page.Sample(Of(source), *value);
  }
  AddTimes(numbers, &page);
  AddSegments(numbers, &page);
  AddSemiSync(numbers, &page);
  AddArchive(numbers, &page);
  AddServing(numbers, &page);
  AddRpc(numbers, &page);
  AddProcess(numbers, &page);
  return page.Text();
}

}  // namespace tidemark
