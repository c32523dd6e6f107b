#include "replication/source/failover_source.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace tidemark {
namespace {

bool SameServer(const ConnectionOptions& a, const ConnectionOptions& b) {
  return a.host == b.host && a.port == b.port;
}

// The options with timeouts that keep one that hangs from delaying the others.
std::vector<ConnectionOptions> InNoMoreThan(std::vector<ConnectionOptions> servers,
                                            uint32_t timeout_s) {
  for (ConnectionOptions& server : servers) {
    server.connect_timeout_s = std::min(server.connect_timeout_s, timeout_s);
    server.read_timeout_s = std::min(server.read_timeout_s, timeout_s);
  }
  return servers;
}

// What `current` has not, and others that take writes have.
GtidSet LackedAmongPrimaries(const std::vector<Candidate>& candidates, const Candidate& current) {
  GtidSet lacked;
  for (const Candidate& other : candidates)
    if (other.answers() && other.writable) lacked.Add(current.Lacks(other.executed));
  return lacked;
}

}  // namespace

FailoverSource::FailoverSource(ConnectionOptions common, std::vector<HostPort> hosts,
                               FailoverOptions options)
    : common_(std::move(common)),
      hosts_(std::move(hosts)),
      options_(std::move(options)),
      mysql_(common_) {}

FailoverSource::~FailoverSource() {
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
  }
  ended_now_.notify_all();
  if (watcher_.joinable()) watcher_.join();
}

Result<SourceFacts> FailoverSource::Connect() {
  Disconnect();
  std::vector<ConnectionOptions> servers = ExpandHosts(common_, hosts_, options_.resolve);
  if (servers.size() > 1) return ConnectToPrimary(std::move(servers));
  mysql_.SetServer(servers.empty() ? common_ : servers.front());
  TM_ASSIGN_OR_RETURN(SourceFacts facts, mysql_.Connect());
  if (!servers.empty() && MayBecomeSeveral()) BeginWatching(std::move(servers.front()), facts);
  return facts;
}

bool FailoverSource::MayBecomeSeveral() const {
  return std::any_of(hosts_.begin(), hosts_.end(), [this](const HostPort& one) {
    return IsLookedUp(one.host, common_.tls.mode);
  });
}

// Once its dump runs.
void FailoverSource::BeginWatching(ConnectionOptions server, const SourceFacts& facts) {
  std::lock_guard lock(mutex_);
  server_ = HostPort{server.host, server.port}.ToString();
  archived_.server_uuid = facts.server_uuid;
  watched_ = std::move(server);
}

Result<SourceFacts> FailoverSource::ConnectToPrimary(std::vector<ConnectionOptions> servers) {
  const Status interrupted(Code::kInterrupted, "looking for the primary was interrupted");
  ArchivedSoFar archived;
  {
    std::lock_guard lock(mutex_);
    if (ended_) return interrupted;
    archived = archived_;
  }
  const std::vector<Candidate> candidates =
      AskCandidates(InNoMoreThan(servers, common_.connect_timeout_s));
  {
    std::lock_guard lock(mutex_);
    if (ended_) return interrupted;
  }
  TM_ASSIGN_OR_RETURN(const size_t chosen, ChooseSource(candidates, archived));
  mysql_.SetServer(servers[chosen]);
  TM_ASSIGN_OR_RETURN(SourceFacts facts, mysql_.Connect());
  if (facts.server_uuid != candidates[chosen].server_uuid)
    return Status(Code::kSourceUnavailable,
                  candidates[chosen].name + " is another server than a moment ago");
  BeginWatching(std::move(servers[chosen]), facts);
  return facts;
}

Status FailoverSource::StartDump(const DumpRequest& request) {
  TM_RETURN_IF_ERROR(mysql_.StartDump(request));
  if (request.non_blocking) return OkStatus();
  std::lock_guard lock(mutex_);
  if (!watched_) return OkStatus();
  ++dumps_;
  if (!watcher_.joinable() && !ended_) watcher_ = std::thread([this] { Watch(); });
  return OkStatus();
}

Result<Bytes> FailoverSource::Next() {
  if (!replaced_.load(std::memory_order_relaxed)) [[likely]]
    return mysql_.Next();
  std::lock_guard lock(mutex_);
  return replaced_why_;
}

// Where there is nothing to wait for, Next says why.
bool FailoverSource::WaitForMore(int64_t timeout_us) {
  return replaced_ || mysql_.WaitForMore(timeout_us) || replaced_;
}

void FailoverSource::Interrupt() {
  mysql_.Interrupt();
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
  }
  ended_now_.notify_all();
}

void FailoverSource::Disconnect() {
  mysql_.Disconnect();
  std::lock_guard lock(mutex_);
  watched_.reset();
  ++dumps_;
  replaced_ = false;
  lacked_ = {};
}

void FailoverSource::NoteArchived(const ArchivedSoFar& archived) {
  if (hosts_.empty()) return;
  std::lock_guard lock(mutex_);
  archived_ = archived;
}

void FailoverSource::Watch() {
  pthread_setname_np(pthread_self(), "tm-watch");
  const auto interval = std::chrono::microseconds(options_.watch_us);
  std::unique_lock lock(mutex_);
  while (!ended_now_.wait_for(lock, interval, [this] { return ended_; }))
    if (watched_ && !replaced_) LookAround(lock);
}

// What is found out about a dump that has ended meanwhile counts for nothing.
void FailoverSource::LookAround(std::unique_lock<std::mutex>& lock) {
  const uint64_t dump = dumps_;
  const ConnectionOptions watched = *watched_;
  const ArchivedSoFar archived = archived_;
  lock.unlock();
  std::vector<ConnectionOptions> servers = ExpandHosts(common_, hosts_, options_.resolve);
  if (servers.size() == 1 && SameServer(servers.front(), watched)) {
    lock.lock();
    return;
  }
  // A name may stand for others than when we connected.
  if (std::none_of(servers.begin(), servers.end(),
                   [&](const ConnectionOptions& one) { return SameServer(one, watched); }))
    servers.push_back(watched);
  const std::vector<Candidate> candidates =
      AskCandidates(InNoMoreThan(std::move(servers), options_.watch_timeout_s));
  const Result<size_t> chosen = ChooseSource(candidates, archived);
  const auto current =
      std::find_if(candidates.begin(), candidates.end(), [&](const Candidate& candidate) {
        return candidate.answers() && candidate.server_uuid == archived.server_uuid;
      });
  lock.lock();
  if (current == candidates.end() || dump != dumps_) return;
  if (!chosen.ok()) {
    const GtidSet lacked_before =
        std::exchange(lacked_, LackedAmongPrimaries(candidates, *current));
    if (chosen.error().code() != Code::kDivergence || !lacked_.Intersects(lacked_before)) return;
    replaced_why_ = chosen.error();
  } else {
    if (candidates[*chosen].server_uuid == archived.server_uuid) return;
    replaced_why_ = {
        Code::kSourceUnavailable,
        server_ + " is not the primary any more: going on with " + candidates[*chosen].name};
  }
  replaced_ = true;
  mysql_.Wake();
}

}  // namespace tidemark
