// One dump, from the replica's request to the end of its connection: moves packets from a
// DumpStream (in the pool) to the link (on the io thread), the next ones being made while the last
// are written. Two buffers of about kSendBytes; a replica that does not read is not read for.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "pitr/serve/dump.h"
#include "pitr/serve/server_state.h"
#include "pitr/serve/statements.h"

namespace tidemark {

class DumpSession {
 public:
  // All three outlive it.
  DumpSession(ServerState& server, PacketLink& link, const ServedSource& source);
  // `replica`: who it is, as far as it has said. Ends with the connection's last packet written.
  boost::asio::awaitable<void> Run(DumpGtid request, const ServeSession& session,
                                   ServedReplica replica);

 private:
  using State = DumpStream::State;
  Result<ReplicaRequest> MakeRequest(const DumpGtid& request, const ServeSession& session) const;
  boost::asio::awaitable<Status> Serve(Result<ReplicaRequest> request);
  boost::asio::awaitable<Status> Open(const ReplicaRequest& request);
  boost::asio::awaitable<Status> OpenUntil(PacketLink::Time patience,
                                           const ReplicaRequest& request);
  boost::asio::awaitable<Status> Stream();
  boost::asio::awaitable<Status> WriteAndProduce();
  boost::asio::awaitable<Status> WriteAndWait();
  Result<State> ProduceNext();
  boost::asio::awaitable<void> SayGoodbye(const Status& why);
  bool Grown() const { return growth_ != growth_seen_; }
  PacketLink::Time NextBeat() const { return last_sent_ + beat_period_; }
  void LogEnd(const Status& why);

  ServerState& server_;
  PacketLink& link_;
  const ServedSource& source_;
  const std::atomic<uint64_t>& growth_;
  uint64_t growth_seen_ = 0;  // as it was before we last looked at the archive
  std::optional<LiveDumps::Entry> entry_;
  std::unique_ptr<DumpStream> stream_;
  bool non_blocking_ = false;
  bool ahead_ = false;  // of the archive, and waited for
  State state_ = State::kMore;
  bool refresh_ = false;  // before the next Produce
  std::string sending_;   // whole packets, but for an event cut by the buffer's size
  std::string filling_;   // what follows them
  std::chrono::microseconds beat_period_{};
  PacketLink::Time last_sent_;
};

}  // namespace tidemark
