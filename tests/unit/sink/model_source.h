// A MySQL server as the sink sees it, made of synthetic binary logs: what it would send for a dump
// request, event by event, and an EventSource that sends it and breaks where it is told to.
#pragma once

#include <condition_variable>
#include <cstring>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "replication/event/control_events.h"
#include "replication/event/stream_scanner.h"
#include "replication/source/event_source.h"
#include "tests/support/binlog_builder.h"

namespace tidemark::testing {

inline std::vector<std::string> SplitEvents(std::string_view bytes) {
  std::vector<std::string> events;
  for (size_t at = 0; at < bytes.size();) {
    const uint32_t size = ReadEventHeader(AsBytes(bytes).data() + at).size;
    events.emplace_back(bytes.substr(at, size));
    at += size;
  }
  return events;
}

// The event with another log_pos, and the checksum that belongs to it.
inline std::string WithLogPos(std::string event, uint32_t log_pos) {
  std::memcpy(&event[13], &log_pos, sizeof(log_pos));
  const uint32_t crc = Crc32(0, AsBytes(event).first(event.size() - kChecksumSize));
  std::memcpy(&event[event.size() - kChecksumSize], &crc, sizeof(crc));
  return event;
}

inline std::string ArtificialRotate(const std::string& file, uint64_t position) {
  return EncodeRotate({position, file}, EventStamp{0, 7, 0, kEventFlagArtificial},
                      ChecksumAlgorithm::kCrc32);
}

class ModelServer {
 public:
  struct Transaction {
    uint64_t begin = 0;  // in the file
    uint64_t end = 0;
    Gtid gtid;
  };
  struct File {
    std::string name;
    std::string bytes;
    GtidSet previous;
    std::vector<Transaction> transactions;
  };

  explicit ModelServer(Uuid server_uuid = BuilderUuid()) : uuid(server_uuid) { NextFile(); }

  // The next file, without an end for the one before: as after a crash.
  void NextFile() {
    files.push_back({NameOf(++last_file_), "", executed, {}});
    builder_.BeginFile(executed);
    files.back().bytes = builder_.Take();
  }
  void Rotate() {
    builder_.Rotate(NameOf(last_file_ + 1));
    files.back().bytes += builder_.Take();
    NextFile();
  }
  void Restart() {
    builder_.Stop();
    files.back().bytes += builder_.Take();
    NextFile();
  }
  Gtid Commit(TransactionSpec spec = {}) {
    if (spec.gtid.gno == 0) spec.gtid = BuilderGtid(++last_number);
    spec.commit_us = clock_us + spec.gtid.gno;
    File& file = files.back();
    const uint64_t begin = file.bytes.size();
    builder_.Add(spec);
    file.bytes += builder_.Take();
    file.transactions.push_back({begin, file.bytes.size(), spec.gtid});
    executed.Add(spec.gtid);
    return spec.gtid;
  }
  void Commit(int count) {
    for (int i = 0; i < count; ++i) (void)Commit();
  }
  void PurgeFirstFile() {
    for (const Transaction& transaction : files.front().transactions) purged.Add(transaction.gtid);
    files.erase(files.begin());
  }

  SourceFacts Facts() const {
    SourceFacts facts;
    facts.server_uuid = uuid;
    facts.server_id = 7;
    facts.version = "9.7.4-model";
    facts.gtid_executed = executed;
    facts.gtid_purged = purged;
    facts.gtid_owned = owned;
    facts.binlogs_visible = true;
    for (const File& file : files) facts.binlogs.push_back({file.name, file.bytes.size()});
    return facts;
  }

  // What the source sends until it has nothing more.
  std::vector<std::string> Dump(const DumpRequest& request) const {
    std::vector<std::string> packets;
    uint64_t position = 0;
    for (size_t i = StartFile(request, &position); i < files.size(); ++i) {
      SendFile(files[i], position, request.exclude, &packets);
      position = kBinlogMagicSize;
    }
    return packets;
  }

  Uuid uuid;
  std::vector<File> files;
  GtidSet executed, purged, owned;
  int64_t last_number = 0;
  int64_t clock_us = 1'700'000'000'000'000;  // of transaction 0

 private:
  static std::string NameOf(size_t number) {
    return "binlog." + std::to_string(1000000 + number).substr(1);
  }

  size_t StartFile(const DumpRequest& request, uint64_t* position) const {
    *position = request.file.empty() ? kBinlogMagicSize : request.position;
    size_t i = files.size() - 1;
    while (i > 0 && (request.file.empty() ? !files[i].previous.Minus(request.exclude).empty()
                                          : files[i].name != request.file))
      --i;
    return i;
  }

  static void SendFile(const File& file, uint64_t position, const GtidSet& exclude,
                       std::vector<std::string>* packets) {
    packets->push_back(ArtificialRotate(file.name, position));
    std::vector<std::string> events =
        SplitEvents(std::string_view(file.bytes).substr(kBinlogMagicSize));
    const bool mid_file = position > kBinlogMagicSize;
    packets->push_back(mid_file ? WithLogPos(events[0], 0) : events[0]);
    uint64_t at = kBinlogMagicSize + events[0].size();
    uint64_t skipped_until = 0;
    for (size_t i = 1; i < events.size(); ++i) {
      const uint64_t begin = std::exchange(at, at + events[i].size());
      if (begin < position) continue;
      const Transaction* transaction = nullptr;
      for (const Transaction& candidate : file.transactions)
        if (begin >= candidate.begin && begin < candidate.end) transaction = &candidate;
      if (transaction != nullptr && exclude.Contains(transaction->gtid)) {
        skipped_until = at;
        continue;
      }
      if (skipped_until != 0)
        packets->push_back(EncodeHeartbeat({file.name, std::exchange(skipped_until, 0)}, 7,
                                           ChecksumAlgorithm::kCrc32));
      packets->push_back(events[i]);
    }
  }

  size_t last_file_ = 0;
  BinlogBuilder builder_;
};

// At the end of what the server had when the dump began, it sends a heartbeat every millisecond.
class ModelSource : public EventSource {
 public:
  explicit ModelSource(ModelServer& server) : server_(server) {}

  Result<SourceFacts> Connect() override {
    std::lock_guard lock(mutex_);
    dumping_ = false;
    if (interrupted_) return Status(Code::kInterrupted, "interrupted");
    if (!connect_error_.ok()) return connect_error_;
    SourceFacts facts = server_.Facts();
    if (on_facts) on_facts(&facts);
    return facts;
  }
  Status StartDump(const DumpRequest& request) override {
    std::lock_guard lock(mutex_);
    requests_.push_back(request);
    packets_ = server_.Dump(request);
    next_ = 0;
    dumping_ = true;
    semi_sync_ = grant_semi_sync_ && request.semi_sync && !request.non_blocking;
    return OkStatus();
  }
  Result<Bytes> Next() override {
    std::unique_lock lock(mutex_);
    TM_CHECK(dumping_);
    if (!interrupted_ && next_ == packets_.size() && !requests_.back().non_blocking) {
      at_end_ = true;
      changed_.notify_all();
      changed_.wait_for(lock, std::chrono::milliseconds(1),
                        [this] { return interrupted_ || break_now_; });
      at_end_ = false;
    }
    ack_wanted_ = false;
    if (interrupted_) return Status(Code::kInterrupted, "interrupted");
    if (std::exchange(break_now_, false) || cuts_.contains(sent_)) {
      cuts_.erase(sent_);
      dumping_ = false;
      return Status(Code::kSourceUnavailable, "the link broke");
    }
    if (next_ == packets_.size()) {
      if (requests_.back().non_blocking || std::exchange(end_now_, false))
        return Status(Code::kEndOfData, "no further events");
      current_ = EncodeHeartbeat({server_.files.back().name, server_.files.back().bytes.size()}, 7,
                                 ChecksumAlgorithm::kCrc32);
      return AsBytes(current_);
    }
    ++sent_;
    current_ = packets_[next_++];
    ack_wanted_ = semi_sync_ && WantsAck(current_);
    return AsBytes(current_);
  }
  void Interrupt() override {
    std::lock_guard lock(mutex_);
    interrupted_ = true;
    changed_.notify_all();
  }
  void Disconnect() override {
    std::lock_guard lock(mutex_);
    dumping_ = false;
  }

  bool semi_sync() const override { return semi_sync_; }
  bool AckWanted() const override { return ack_wanted_; }
  Status Acknowledge(const std::string& file, uint64_t position) override {
    TM_CHECK(semi_sync_);
    if (on_ack) on_ack(file, position);
    std::lock_guard lock(mutex_);
    current_.assign(current_.size(), '?');  // the answer is written over it
    acks_.emplace_back(file, position);
    changed_.notify_all();
    return OkStatus();
  }
  bool WaitForMore(int64_t timeout_us) override {
    std::unique_lock lock(mutex_);
    const auto more = [this] { return interrupted_ || break_now_ || next_ < packets_.size(); };
    waits_for_more_ = !more();
    changed_.notify_all();
    changed_.wait_for(lock, std::chrono::microseconds(timeout_us),
                      [&] { return woken_ || more(); });
    waits_for_more_ = woken_ = false;
    return more();
  }
  Result<bool> CommitsWait() override { return commits_wait ? commits_wait() : false; }
  void Wake() override {
    std::lock_guard lock(mutex_);
    woken_ = true;
    changed_.notify_all();
  }

  // What Connect could go by, and what a dump's watcher could.
  void NoteArchived(const ArchivedSoFar& archived) override {
    std::lock_guard lock(mutex_);
    noted_ = {archived.executed, archived.server_uuid};
  }
  std::pair<GtidSet, std::optional<Uuid>> noted() {
    std::lock_guard lock(mutex_);
    return noted_;
  }

  // The source has the plugin, and wants every event acknowledged of which `wanted` says so; by
  // default, transactions' last ones.
  void GrantSemiSync(std::function<bool(const std::string& event)> wanted = {}) {
    grant_semi_sync_ = true;
    wanted_ = std::move(wanted);
  }
  std::function<void(const std::string& file, uint64_t position)> on_ack;  // set before the start
  std::function<bool()> commits_wait;                                      // set before the start
  std::function<void(SourceFacts*)> on_facts;                              // set before the start
  std::vector<std::pair<std::string, uint64_t>> acks() {
    std::lock_guard lock(mutex_);
    return acks_;
  }
  // Waits until the sink has got everything that there is and waits to be able to acknowledge it.
  void WaitForUnanswered() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return waits_for_more_; });
  }
  // False after a while.
  bool WaitForAck(const std::string& file, uint64_t position) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [&] {
      return !acks_.empty() && acks_.back() == std::pair(file, position);
    });
  }

  // The link breaks instead of the event that would have been the `events`th to be sent, counted
  // over all connections.
  void CutAt(uint64_t events) { cuts_.insert(events); }
  void FailConnect(Status error) {
    std::lock_guard lock(mutex_);
    connect_error_ = std::move(error);
  }
  // Waits until the sink has all there is and waits for more.
  void WaitForEnd() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return at_end_; });
  }
  // The source ends the dump in an orderly way, as it does when it is shut down.
  void EndDump() {
    std::lock_guard lock(mutex_);
    end_now_ = true;
    changed_.notify_all();
  }
  void Break() {
    std::lock_guard lock(mutex_);
    break_now_ = true;
    changed_.notify_all();
  }
  std::vector<DumpRequest> requests() {
    std::lock_guard lock(mutex_);
    return requests_;
  }
  uint64_t sent() {
    std::lock_guard lock(mutex_);
    return sent_;
  }
  std::mutex& mutex() { return mutex_; }  // hold it to change the server

 private:
  bool WantsAck(const std::string& event) const {
    if (wanted_) return wanted_(event);
    const uint8_t type = static_cast<uint8_t>(event[4]);
    const uint32_t end = ReadEventHeader(AsBytes(event).data()).log_pos;
    if (type == static_cast<uint8_t>(EventType::kHeartbeat)) return false;
    for (const ModelServer::File& file : server_.files)
      for (const ModelServer::Transaction& transaction : file.transactions)
        if (transaction.end == end &&
            file.bytes.compare(end - event.size(), event.size(), event) == 0)
          return true;
    return false;
  }

  ModelServer& server_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> packets_;
  size_t next_ = 0;
  std::string current_;
  std::vector<DumpRequest> requests_;
  std::set<uint64_t> cuts_;
  uint64_t sent_ = 0;
  Status connect_error_;
  bool dumping_ = false, interrupted_ = false, break_now_ = false, end_now_ = false,
       at_end_ = false;
  std::pair<GtidSet, std::optional<Uuid>> noted_;
  bool grant_semi_sync_ = false, semi_sync_ = false, ack_wanted_ = false;
  bool woken_ = false, waits_for_more_ = false;
  std::function<bool(const std::string& event)> wanted_;
  std::vector<std::pair<std::string, uint64_t>> acks_;
};

}  // namespace tidemark::testing
