#include "tools/cli/remote_feed.h"

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "tools/cli/received.h"
#include "tools/cli/remote_methods.h"

namespace tidemark::cli {
namespace {

using Response = v1::StreamTransactionsResponse;

// A feed's word is awaited so long.
constexpr std::chrono::milliseconds kNextMax{200};

// What is new in a message. The pieces' bytes are those of the two behind pointers.
struct Batch {
  struct Piece {
    StreamPiece::Kind kind = StreamPiece::Kind::kTransactions;
    Bytes bytes;
    bool ends_transaction = false;
  };
  std::unique_ptr<Response> message = std::make_unique<Response>();
  std::unique_ptr<std::string> format_description;
  std::string file;  // that it is of
  bool begins_file = false;
  std::vector<Piece> pieces;
};

// Makes batches of messages. One thread.
class BatchMaker {
 public:
  Status Take(Batch* batch) {
    Response& message = *batch->message;
    if (!message.format_description().empty()) {
      format_ = std::move(*message.mutable_format_description());
      begins_file_ = message.begins_file();
      format_is_new_ = true;
    }
    for (const v1::TransactionPart& part : message.parts()) {
      const bool inside = received_.in_transaction();
      TM_ASSIGN_OR_RETURN(const Bytes bytes, received_.OnPart(part));
      if (std::exchange(format_is_new_, false))
        TM_RETURN_IF_ERROR(BeginFile(part.source_file(), inside, batch));
      if (!bytes.empty())
        batch->pieces.push_back({StreamPiece::Kind::kTransactions, bytes, part.last()});
    }
    return OkStatus();
  }
  const GtidSet& received() const { return received_.gtids(); }

 private:
  // A call that goes on where another broke says again what the events are to be read by.
  Status BeginFile(const std::string& file, bool inside, Batch* batch) {
    if (file == file_ && format_ == given_format_) return OkStatus();
    if (inside || batch->format_description)
      return Status(Code::kCorruption, "the server's stream changes files inside a transaction");
    file_ = file;
    given_format_ = format_;
    batch->format_description = std::make_unique<std::string>(format_);
    batch->file = file;
    batch->begins_file = begins_file_;
    batch->pieces.push_back(
        {StreamPiece::Kind::kFormatDescription, AsBytes(*batch->format_description), false});
    return OkStatus();
  }

  ReceivedTransactions received_;
  std::string format_;  // said last; its file is that of the part behind it
  bool begins_file_ = false;
  bool format_is_new_ = false;
  std::string given_format_, file_;
};

class RemoteFeed : public EventFeed {
 public:
  RemoteFeed(std::string source, StreamRange range)
      : source_(std::move(source)), range_(std::move(range)) {
    remote_.interrupted = [this] { return stop_.load(); };
  }
  ~RemoteFeed() override {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    if (reader_.joinable()) reader_.join();
  }

  Status Open(const rpc::RpcClientOptions& options) {
    TM_ASSIGN_OR_RETURN(remote_.client, rpc::RpcClient::Create(options));
    TM_ASSIGN_OR_RETURN(coverage_, AskCoverage(remote_, source_));
    TM_ASSIGN_OR_RETURN(servers_, AskServerUuids(remote_, source_));
    return OkStatus();
  }

  Coverage coverage() const override { return coverage_; }
  std::set<Uuid> servers() const override { return servers_; }
  Result<StreamPiece> Next() override;
  bool at_stop() const override { return at_stop_; }
  const std::string& source_file() const override { return source_file_; }
  uint64_t source_position() const override { return 0; }
  uint64_t transactions_given() const override { return transactions_given_; }
  bool GivesBeginningOf(const std::string& file, const GtidSet&) const override {
    return file == source_file_ && begins_file_;
  }
  Result<std::optional<File>> AnyFile(bool) override { return std::optional<File>(); }
  // A range with an end is never followed.
  Result<bool> Refresh(const GtidSet&) override { return false; }

 private:
  void ReadAhead();
  std::unique_ptr<rpc::Message> MakeRequest(const GtidSet& received) const;
  bool WaitForRoom();

  const std::string source_;
  const StreamRange range_;
  Coverage coverage_;
  std::set<Uuid> servers_;
  Remote remote_;  // of whoever opens, then of the reader

  // Of the one who is fed.
  Batch batch_;
  size_t given_ = 0;  // of its pieces
  std::string source_file_;
  bool begins_file_ = false;
  uint64_t transactions_given_ = 0;
  bool at_stop_ = false;

  std::atomic<bool> stop_ = false;
  std::mutex mutex_;  // guards the following
  std::condition_variable changed_;
  std::deque<Batch> ahead_;
  bool ended_ = false;
  Status error_;
  std::thread reader_;  // last: it uses all of them
};

std::unique_ptr<rpc::Message> RemoteFeed::MakeRequest(const GtidSet& received) const {
  auto request = std::make_unique<v1::StreamTransactionsRequest>();
  v1::StreamRange* range = request->mutable_range();
  range->set_source(source_);
  if (range_.stop_before)
    range->mutable_target()->set_before_gtid(range_.stop_before->transaction.gtid.ToString());
  else
    range->mutable_target()->set_latest(true);
  range->set_exclude(range_.exclude.ToString());
  range->set_only(range_.include.ToString());
  range->set_received(received.ToString());
  return request;
}

bool RemoteFeed::WaitForRoom() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return stop_ || ahead_.size() < kMessagesAheadMax; });
  return !stop_;
}

void RemoteFeed::ReadAhead() {
  pthread_setname_np(pthread_self(), "tm-feed");
  BatchMaker maker;
  ResumableStream stream(
      *remote_.client, StreamMethod("StreamTransactions"),
      [&] { return MakeRequest(maker.received()); }, remote_.interrupted);
  for (bool more = true; more && WaitForRoom();) {
    Batch batch;
    const Result<bool> next = stream.Next(batch.message.get());
    Status status = next.ok() && *next ? maker.Take(&batch) : Status(next.error());
    more = next.ok() && *next && status.ok();
    std::lock_guard lock(mutex_);
    if (more) ahead_.push_back(std::move(batch));
    ended_ = !more;
    error_ = std::move(status);
    changed_.notify_all();
  }
}

Result<StreamPiece> RemoteFeed::Next() {
  if (!reader_.joinable()) reader_ = std::thread([this] { ReadAhead(); });
  if (given_ == batch_.pieces.size()) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kNextMax, [this] { return ended_ || !ahead_.empty(); });
    if (ahead_.empty()) {
      if (!ended_) return StreamPiece{.kind = StreamPiece::Kind::kNothingYet};
      if (!error_.ok()) return error_;
      at_stop_ = true;
      return StreamPiece{.kind = StreamPiece::Kind::kEnd};
    }
    batch_ = std::move(ahead_.front());
    ahead_.pop_front();
    given_ = 0;
    changed_.notify_all();
    if (batch_.pieces.empty()) return StreamPiece{.kind = StreamPiece::Kind::kNothingYet};
  }
  const Batch::Piece& piece = batch_.pieces[given_++];
  if (piece.kind == StreamPiece::Kind::kFormatDescription) {
    source_file_ = batch_.file;
    begins_file_ = batch_.begins_file;
  }
  if (piece.ends_transaction) ++transactions_given_;
  return StreamPiece{.kind = piece.kind, .bytes = piece.bytes};
}

}  // namespace

OpenFeed RemoteFeeds(rpc::RpcClientOptions options, std::string source) {
  return [options = std::move(options),
          source = std::move(source)](StreamRange range) -> Result<std::unique_ptr<EventFeed>> {
    auto feed = std::make_unique<RemoteFeed>(source, std::move(range));
    TM_RETURN_IF_ERROR(feed->Open(options));
    return std::unique_ptr<EventFeed>(std::move(feed));
  };
}

}  // namespace tidemark::cli
