#include "pitr/serve/live_dumps.h"

#include <boost/asio/post.hpp>
#include <utility>

namespace tidemark {
namespace {

// For the error packet of a dump whose client does not read any more.
constexpr std::chrono::milliseconds kLastWordsMax{2000};

}  // namespace

LiveDumps::LiveDumps(boost::asio::io_context& io, const std::vector<ServedSource>& sources)
    : io_(io) {
  for (const ServedSource& source : sources) {
    growth_[source.name] = 0;
    totals_[source.name] = {};
  }
}

const std::atomic<uint64_t>& LiveDumps::Growth(const std::string& source) const {
  const auto found = growth_.find(source);
  return found == growth_.end() ? no_growth_ : found->second;
}

// Often called, a thousand times a second: one wake-up on its way serves all that come before it
// runs.
void LiveDumps::Notify(const std::string& source) {
  const auto found = growth_.find(source);
  if (found == growth_.end()) return;
  ++found->second;
  if (!waking_.exchange(true)) boost::asio::post(io_, [this] { WakeAll(); });
}

void LiveDumps::WakeAll() {
  waking_ = false;  // first: a Notify from here on posts anew
  for (Entry* entry : entries_) entry->link_.Wake();
}

std::vector<ServedReplica> LiveDumps::Snapshot() const {
  std::lock_guard lock(mutex_);
  std::vector<ServedReplica> replicas;
  for (const Entry* entry : entries_) replicas.push_back(entry->replica_);
  return replicas;
}

std::map<std::string, ServeCounters::Source> LiveDumps::Totals() const {
  std::lock_guard lock(mutex_);
  return totals_;
}

LiveDumps::Entry::Entry(LiveDumps& dumps, PacketLink& link, ServedReplica replica)
    : dumps_(dumps), link_(link), replica_(std::move(replica)) {
  for (Entry* older : dumps_.entries_) {
    if (IsSameReplicaAs(*older)) older->Replace();
  }
  std::lock_guard lock(dumps_.mutex_);
  dumps_.entries_.insert(this);
  ++dumps_.totals_[replica_.source].dumps;
}

LiveDumps::Entry::~Entry() {
  std::lock_guard lock(dumps_.mutex_);
  dumps_.entries_.erase(this);
}

void LiveDumps::Entry::Update(bool caught_up, uint64_t transactions_sent, uint64_t bytes_sent) {
  std::lock_guard lock(dumps_.mutex_);
  ServeCounters::Source& total = dumps_.totals_[replica_.source];
  total.transactions_sent += transactions_sent - replica_.transactions_sent;
  total.bytes_sent += bytes_sent - replica_.bytes_sent;
  replica_.caught_up = caught_up;
  replica_.transactions_sent = transactions_sent;
  replica_.bytes_sent = bytes_sent;
}

void LiveDumps::Entry::CountRefusal() {
  std::lock_guard lock(dumps_.mutex_);
  ++dumps_.totals_[replica_.source].dumps_refused;
}

// By UUID, and for clients that have none by server_id, which readers that are no replicas (0) may
// share: MySQL 9.7 sql/rpl_source.cc, kill_zombie_dump_threads.
bool LiveDumps::Entry::IsSameReplicaAs(const Entry& other) const {
  if (replica_.source != other.replica_.source || replica_.uuid != other.replica_.uuid)
    return false;
  return !replica_.uuid.empty() ||
         (replica_.server_id != 0 && replica_.server_id == other.replica_.server_id);
}

void LiveDumps::Entry::Replace() {
  if (replaced_) return;
  replaced_ = true;
  last_words_.emplace(link_, kLastWordsMax,
                      Status(Code::kSourceRefused, "the same replica has connected again"));
  link_.Wake();
}

}  // namespace tidemark
