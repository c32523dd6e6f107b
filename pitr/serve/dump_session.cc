#include "pitr/serve/dump_session.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <utility>

#include "replication/base/pool_work.h"

namespace tidemark {
namespace {

namespace asio = boost::asio;
using std::chrono::steady_clock;
using namespace asio::experimental::awaitable_operators;

// What a client may ask of us: more often would be work for its own sake, less often than any
// replica's replica_net_timeout is never.
constexpr uint64_t kBeatUsMin = 10'000;
constexpr uint64_t kBeatUsMax = uint64_t{30} * 24 * 3600 * 1'000'000;

std::chrono::microseconds BeatPeriod(const ServeSession& session) {
  const uint64_t asked = session.HeartbeatPeriod();
  const uint64_t period = asked == 0 ? kHeartbeatDefaultUs : asked;
  return std::chrono::microseconds(std::clamp(period, kBeatUsMin, kBeatUsMax));
}

// An archive that lags looks so, too.
bool MayPass(const Status& refusal) {
  return refusal.code() == Code::kDivergence || refusal.code() == Code::kUnreachableTarget;
}

Status Replaced() {
  return Status(Code::kSourceRefused,
                "A replica with the same server_uuid/server_id as this replica has connected to "
                "the source");
}

std::string NameOf(const ServedReplica& replica) {
  const std::string uuid = replica.uuid.empty() ? "without UUID" : replica.uuid;
  return "replica " + uuid + " (server_id " + std::to_string(replica.server_id) + ") at " +
         replica.peer;
}

}  // namespace

DumpSession::DumpSession(ServerState& server, PacketLink& link, const ServedSource& source)
    : server_(server), link_(link), source_(source), growth_(server.dumps.Growth(source.name)) {}

Result<ReplicaRequest> DumpSession::MakeRequest(const DumpGtid& request,
                                                const ServeSession& session) const {
  ReplicaRequest wanted;
  Result<GtidSet> executed = GtidSet::Decode(AsBytes(request.gtid_set));
  if (!executed.ok()) return Status(executed.error()).WithContext("the replica's GTID set");
  wanted.executed = std::move(*executed);
  wanted.server_id = request.server_id;
  wanted.knows_checksums = session.KnowsChecksums();
  wanted.non_blocking = (request.flags & kDumpNonBlocking) != 0;
  wanted.heartbeat_v2 = (request.flags & kDumpHeartbeatV2) != 0;
  wanted.sequence = link_.sequence();
  wanted.first_checksum =
      session.FirstRotateHasChecksum() ? ChecksumAlgorithm::kCrc32 : ChecksumAlgorithm::kOff;
  const Result<Uuid> uuid = Uuid::Parse(session.ReplicaUuid());
  if (uuid.ok()) wanted.uuid = *uuid;
  return wanted;
}

asio::awaitable<void> DumpSession::Run(DumpGtid request, const ServeSession& session,
                                       ServedReplica replica) {
  Result<ReplicaRequest> wanted = MakeRequest(request, session);
  request.gtid_set = std::string();
  replica.server_id = request.server_id;
  // What is no UUID names nobody.
  if (wanted.ok() && wanted->uuid) replica.uuid = wanted->uuid->ToString();
  non_blocking_ = wanted.ok() && wanted->non_blocking;
  beat_period_ = BeatPeriod(session);
  last_sent_ = steady_clock::now();

  spdlog::info("[{}] {} begins a dump as user '{}'{}", source_.name, NameOf(replica), replica.user,
               replica.tls ? " in TLS" : "");
  entry_.emplace(server_.dumps, link_, std::move(replica));
  link_.CloseWhenPeerStirs();
  const Status ended = co_await Serve(std::move(wanted));
  LogEnd(ended);
  co_await SayGoodbye(ended);
  auto close_files = [this] { return stream_ = nullptr, true; };
  if (stream_) co_await InPool(server_.readers, close_files);
}

asio::awaitable<Status> DumpSession::Serve(Result<ReplicaRequest> request) {
  if (!request.ok()) co_return request.error();
  const Status opened = co_await Open(*request);
  if (!opened.ok()) co_return opened;
  request->executed = {};  // the stream has it
  co_return co_await Stream();
}

asio::awaitable<Status> DumpSession::Open(const ReplicaRequest& request) {
  const ServedReplica& replica = entry_->replica();
  const std::string who = replica.source + "/" +
                          (replica.uuid.empty() ? std::to_string(replica.server_id) : replica.uuid);
  const auto begun = steady_clock::now();
  const auto waited = server_.ahead.WaitedFor(who, begun);
  const Status opened =
      co_await OpenUntil(begun + server_.options.limits.archive_behind_max - waited, request);
  const auto now = steady_clock::now();
  const bool left = !link_.open() || entry_->replaced();
  if (left && ahead_) {
    server_.ahead.Remember(who, now - begun, now);
  } else if (!left) {
    server_.ahead.Forget(who);
  }
  co_return opened;
}

// A replica that was served by the primary may be ahead of the archive for a moment.
asio::awaitable<Status> DumpSession::OpenUntil(PacketLink::Time patience,
                                               const ReplicaRequest& request) {
  auto open = [&] { return DumpStream::Open(source_, request); };
  for (;;) {
    growth_seen_ = growth_;
    Result<std::unique_ptr<DumpStream>> opened = co_await InPool(server_.readers, open);
    if (opened.ok()) {
      stream_ = std::move(*opened);
      co_return OkStatus();
    }
    const bool wait = MayPass(opened.error());
    ahead_ = wait;
    while (wait && link_.open() && !entry_->replaced() && !Grown() &&
           steady_clock::now() < patience) {
      co_await link_.WaitUntil(patience);
    }
    if (!link_.open()) co_return link_.why_closed();
    if (entry_->replaced()) co_return Replaced();
    // An archive that grows all the time is looked at again so long only, too.
    if (!wait || !Grown() || steady_clock::now() >= patience) co_return opened.error();
  }
}

// Gives the reason for which it ended; that all is sent, or the client left, is one, too.
asio::awaitable<Status> DumpSession::Stream() {
  for (;;) {
    if (entry_->replaced()) co_return Replaced();
    Status done;
    if (state_ == State::kMore) {
      done = co_await WriteAndProduce();
    } else {
      done = co_await WriteAndWait();
    }
    if (!done.ok()) co_return done;
    entry_->Update(state_ != State::kMore, stream_->transactions_sent(), stream_->bytes_sent());
  }
}

Result<DumpStream::State> DumpSession::ProduceNext() {
  if (std::exchange(refresh_, false)) TM_RETURN_IF_ERROR(stream_->Refresh());
  return stream_->Produce(kSendBytes, &filling_);
}

// In the pool and on the io thread at the same time. Afterwards what was produced is to be sent.
asio::awaitable<Status> DumpSession::WriteAndProduce() {
  auto produce = [this] { return ProduceNext(); };
  const bool sent = !sending_.empty();
  auto both = co_await (link_.Write(sending_) && InPool(server_.readers, produce));
  const Status& written = std::get<0>(both);
  const Result<State>& produced = std::get<1>(both);
  if (sent) last_sent_ = steady_clock::now();
  sending_.clear();
  sending_.swap(filling_);
  if (!written.ok()) co_return written;
  if (!produced.ok()) co_return produced.error();
  state_ = *produced;
  // Much is being read that the replica does not need: it must not take us for dead.
  if (sending_.empty() && steady_clock::now() >= NextBeat()) stream_->AppendHeartbeat(&sending_);
  co_return OkStatus();
}

// All that there was is on its way. At the upper boundary nothing will ever follow but heartbeats.
asio::awaitable<Status> DumpSession::WriteAndWait() {
  const Status written = co_await link_.Write(sending_);
  if (!written.ok()) co_return written;
  if (!sending_.empty()) last_sent_ = steady_clock::now();
  sending_.clear();
  if (non_blocking_ && state_ == State::kEnded) {
    co_return Status(Code::kEndOfData, "the client has all that it wanted");
  }
  while (link_.open() && !entry_->replaced() && steady_clock::now() < NextBeat()) {
    if (state_ == State::kCaughtUp && Grown()) {
      growth_seen_ = growth_;
      refresh_ = true;
      state_ = State::kMore;
      co_return OkStatus();
    }
    co_await link_.WaitUntil(NextBeat());
  }
  if (!link_.open()) co_return link_.why_closed();
  if (!entry_->replaced()) stream_->AppendHeartbeat(&sending_);
  last_sent_ = steady_clock::now();  // also where there is no way to beat
  co_return OkStatus();
}

// `sending_` has what came before the error.
asio::awaitable<void> DumpSession::SayGoodbye(const Status& why) {
  if (!link_.open()) co_return;
  if (why.code() != Code::kEndOfData) {
    if (!stream_) {
      uint8_t sequence = link_.sequence();
      AppendPacket(DumpErrorPayload(why), &sequence, &sending_);
    } else if (!stream_->AppendError(why, &sending_)) {
      co_return;  // inside a long event: there is no place for words
    }
  }
  const Status ignored = co_await link_.Write(sending_);
  co_await link_.Finish();
}

void DumpSession::LogEnd(const Status& why) {
  const uint64_t transactions = stream_ ? stream_->transactions_sent() : 0;
  const uint64_t bytes = stream_ ? stream_->bytes_sent() : 0;
  const std::string text =
      fmt::format("[{}] {} ends its dump after {} transactions, {} bytes: {}", source_.name,
                  NameOf(entry_->replica()), transactions, bytes, why.message());
  // Of a closed link the client or the server's stop is the reason.
  const bool failed = link_.open() && why.code() != Code::kEndOfData;
  if (failed && !entry_->replaced()) {
    server_.SetLastError(why);
    entry_->CountRefusal();
  }
  spdlog::log(failed ? spdlog::level::warn : spdlog::level::info, text);
}

}  // namespace tidemark
