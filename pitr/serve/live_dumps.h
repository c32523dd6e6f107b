// The dumps under way, and how they learn that their source has grown.
//
// A source's growth is a number that only goes up. A dump reads it, then looks at the archive, and
// before it sleeps compares: growth in between is a different number, so no wake-up can be lost.
// Notify, Growth, Snapshot and Totals are called by any thread, the rest by the io thread.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "pitr/serve/packet_link.h"
#include "pitr/serve/replica_server.h"

namespace tidemark {

class LiveDumps {
 public:
  LiveDumps(boost::asio::io_context& io, const std::vector<ServedSource>& sources);

  // On the list for as long as it exists. Ends an older dump of the same replica, as a source does:
  // it is what a broken link left behind.
  class Entry {
   public:
    Entry(LiveDumps& dumps, PacketLink& link, ServedReplica replica);
    ~Entry();
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

    void Update(bool caught_up, uint64_t transactions_sent, uint64_t bytes_sent);
    void CountRefusal();
    bool replaced() const { return replaced_; }
    const ServedReplica& replica() const { return replica_; }

   private:
    friend class LiveDumps;
    bool IsSameReplicaAs(const Entry& other) const;
    void Replace();

    LiveDumps& dumps_;
    PacketLink& link_;
    ServedReplica replica_;  // written with dumps_.mutex_ held
    bool replaced_ = false;
    std::optional<PacketLink::Deadline> last_words_;
  };

  void Notify(const std::string& source);
  // Constant address: to be asked often. Zero for ever if there is no such source.
  const std::atomic<uint64_t>& Growth(const std::string& source) const;
  std::vector<ServedReplica> Snapshot() const;
  std::map<std::string, ServeCounters::Source> Totals() const;  // ended ones included

 private:
  void WakeAll();

  boost::asio::io_context& io_;
  std::map<std::string, std::atomic<uint64_t>> growth_;  // its keys never change
  const std::atomic<uint64_t> no_growth_ = 0;
  std::atomic<bool> waking_ = false;  // WakeAll is on its way
  mutable std::mutex mutex_;  // for what Snapshot and Totals see; the io thread alone writes
  std::set<Entry*> entries_;
  std::map<std::string, ServeCounters::Source> totals_;
};

}  // namespace tidemark
