#include "tools/rpc/stream_service.h"

#include "pitr/event_stream.h"
#include "pitr/segment_cache.h"
#include "tools/rpc/convert.h"
#include "tools/rpc/range_reader.h"
#include "tools/rpc/transaction_cutter.h"

namespace tidemark::rpc {
namespace {

Status Cancelled() { return Status(Code::kInterrupted, "the call was cancelled"); }

// Fills messages with a range's pieces.
class RangeStream : public MessageStream {
 public:
  RangeStream(CallContext context, std::unique_ptr<RangeReader> reader)
      : reader_(std::move(reader)), context_(std::move(context)) {}

  std::string topic() const override { return reader_->follows() ? reader_->source() : ""; }

  Result<State> Next(Message* message) override {
    message->Clear();
    size_t filled = 0;  // with the source's bytes
    for (;;) {
      if (context_.cancelled()) return Cancelled();
      if (!held_) {
        TM_ASSIGN_OR_RETURN(const RangeReader::State state, reader_->Next(&piece_));
        if (state == RangeReader::State::kEnd && !any_) {
          any_ = true;
          TM_RETURN_IF_ERROR(OnNothing(message, &filled));
        }
        if (state != RangeReader::State::kPiece) return filled > 0 ? State::kMessage : Say(state);
        held_ = true;
      }
      const size_t next = piece_.bytes.size();
      if (filled > 0 && (filled + next > kStreamChunkBytesMax || !FitsBehind(piece_)))
        return State::kMessage;
      TM_RETURN_IF_ERROR(Put(piece_, message));
      filled += next;
      held_ = false;
      any_ = true;
    }
  }

 protected:
  virtual Status Put(const StreamPiece& piece, Message* message) = 0;
  // Whether the piece can go into a message that has something already.
  virtual bool FitsBehind(const StreamPiece& piece) const = 0;
  // The range ended, and there was nothing in it.
  virtual Status OnNothing(Message* message, size_t* filled) = 0;

  std::unique_ptr<RangeReader> reader_;

 private:
  static State Say(RangeReader::State state) {
    if (state == RangeReader::State::kEnd) return State::kEnd;
    return state == RangeReader::State::kWaiting ? State::kWaiting : State::kNothingYet;
  }

  const CallContext context_;
  StreamPiece piece_;
  bool held_ = false;  // piece_ is to be put
  bool any_ = false;
};

class EventsStream : public RangeStream {
 public:
  using RangeStream::RangeStream;

 protected:
  Status Put(const StreamPiece& piece, Message* message) override {
    auto* response = static_cast<v1::StreamEventsResponse*>(message);
    std::string* data = response->mutable_data();
    if (data->empty()) {
      ended_ = {};
      data->reserve(kStreamChunkBytesMax);
    }
    PutMagic(data);
    if (piece.whole_bytes > 0) {
      ended_.Add(piece.ended);
      response->set_gtids(ended_.ToString());
      response->set_whole_bytes(data->size() + piece.whole_bytes);
    }
    data->append(AsText(piece.bytes));
    return OkStatus();
  }

  bool FitsBehind(const StreamPiece&) const override { return true; }

  // As `pitr export` does: still a binlog that every reader takes.
  Status OnNothing(Message* message, size_t* filled) override {
    if (reader_->resumed()) return OkStatus();
    TM_ASSIGN_OR_RETURN(const std::string format, reader_->LastFormatDescription());
    if (format.empty()) return OkStatus();
    std::string* data = static_cast<v1::StreamEventsResponse*>(message)->mutable_data();
    PutMagic(data);
    data->append(format);
    *filled = data->size();
    return OkStatus();
  }

 private:
  void PutMagic(std::string* data) {
    if (!begun_ && !reader_->resumed()) data->append(AsText(kBinlogMagic));
    begun_ = true;
  }

  bool begun_ = false;
  GtidSet ended_;  // in the message that is being filled
};

class TransactionsStream : public RangeStream {
 public:
  using RangeStream::RangeStream;

 protected:
  Status Put(const StreamPiece& piece, Message* message) override {
    auto* response = static_cast<v1::StreamTransactionsResponse*>(message);
    if (piece.kind == StreamPiece::Kind::kTransactions)
      return cutter_.OnEvents(piece.bytes, reader_->source_file(), response);
    response->mutable_format_description()->assign(AsText(piece.bytes));
    response->set_begins_file(reader_->BeginsFile());
    return cutter_.OnFormatDescription(piece.bytes);
  }

  // A format description holds for the whole message.
  bool FitsBehind(const StreamPiece& piece) const override {
    return piece.kind == StreamPiece::Kind::kTransactions;
  }

  Status OnNothing(Message*, size_t*) override { return OkStatus(); }

 private:
  TransactionCutter cutter_;
};

class SourceFileStream : public MessageStream {
 public:
  // `parts` of `view`; begins at `offset` of the file.
  SourceFileStream(CallContext context, std::unique_ptr<ArchiveView> view,
                   std::vector<SegmentRecord> parts, uint64_t offset)
      : context_(std::move(context)),
        view_(std::move(view)),
        parts_(std::move(parts)),
        position_(offset) {}

  Result<State> Next(Message* message) override {
    message->Clear();
    auto* response = static_cast<v1::StreamSourceFileResponse*>(message);
    while (response->data().size() < kStreamChunkBytesMax) {
      if (context_.cancelled()) return Cancelled();
      if (!open_) {
        if (part_ == parts_.size()) return End(response);
        TM_RETURN_IF_ERROR(OpenPart());
        continue;
      }
      const SegmentRecord& record = parts_[part_];
      Result<Bytes> piece = open_->reader->NextRaw(record.raw_bytes);
      if (!piece.ok()) return piece.error();
      if (piece->empty()) {
        open_.reset();
        ++part_;
        continue;
      }
      response->mutable_data()->append(AsText(*piece));
      position_ += piece->size();
      // The rest of this message may be as long as the longest piece.
      if (response->data().size() + kPieceBytesMax > kStreamChunkBytesMax) break;
    }
    return State::kMessage;
  }

 private:
  static constexpr size_t kPieceBytesMax = 128 << 10;

  Result<State> End(v1::StreamSourceFileResponse* response) {
    if (!response->data().empty()) return State::kMessage;
    if (ended_) return State::kEnd;
    ended_ = true;
    response->mutable_end()->set_position(position_);
    response->mutable_end()->set_complete(parts_.back().ends_source_file);
    return State::kMessage;
  }

  // Passes over a part that ends before position_.
  Status OpenPart() {
    const SegmentRecord& record = parts_[part_];
    const SegmentHeader& header = record.header;
    const uint64_t end = header.source_start + record.raw_bytes - header.prefix_bytes;
    if (end <= position_) {
      ++part_;
      return OkStatus();
    }
    const uint64_t from = position_ - header.source_start + header.prefix_bytes;
    TM_ASSIGN_OR_RETURN(open_, OpenSegmentFile(*view_, record));
    FramePlace place = open_->FirstFrame();
    TM_RETURN_IF_ERROR(
        view_->index().EachFrame(view_->source(), header.number, 0, [&](const IndexedFrame& frame) {
          if (frame.record.place.raw_offset > from) return false;
          place = frame.record.place;
          return true;
        }));
    open_->reader->SeekRaw(place, from);
    return OkStatus();
  }

  const CallContext context_;
  std::unique_ptr<ArchiveView> view_;
  const std::vector<SegmentRecord> parts_;
  uint64_t position_;  // in the file, of the next byte
  size_t part_ = 0;
  std::optional<OpenSegment> open_;
  bool ended_ = false;
};

using OpenedStream = Result<std::unique_ptr<MessageStream>>;

template <typename Stream, typename Request>
OpenedStream OpenRange(SharedArchive& archive, const CallContext& context, const Message& message,
                       RangeReader::Resume resume) {
  const auto& request = static_cast<const Request&>(message);
  TM_ASSIGN_OR_RETURN(auto reader, RangeReader::Open(archive, request.range(), resume));
  return std::unique_ptr<MessageStream>(std::make_unique<Stream>(context, std::move(reader)));
}

OpenedStream OpenSourceFile(SharedArchive& archive, const CallContext& context,
                            const Message& message) {
  const auto& request = static_cast<const v1::StreamSourceFileRequest&>(message);
  TM_ASSIGN_OR_RETURN(auto view, archive.OpenView(request.source()));
  TM_ASSIGN_OR_RETURN(auto parts, SegmentsOfFile(*view, request.file()));
  const SegmentRecord& last = parts.back();
  const uint64_t end = last.header.source_start + last.raw_bytes - last.header.prefix_bytes;
  if (request.offset() > end)
    return Status(Code::kUsage,
                  request.file() + " is archived up to byte " + std::to_string(end) +
                      ", before offset " + std::to_string(request.offset()),
                  "offset is how much of the file was received");
  return std::unique_ptr<MessageStream>(std::make_unique<SourceFileStream>(
      context, std::move(view), std::move(parts), request.offset()));
}

}  // namespace

void AddStreamService(SharedArchive& archive, ServiceRegistry* registry) {
  const auto* service =
      v1::StreamEventsRequest::descriptor()->file()->FindServiceByName("StreamService");
  const auto add = [&](const char* method, ServiceRegistry::Stream handler) {
    // Audited: this is how the data itself leaves, for restores too.
    registry->AddStream(service->FindMethodByName(method), Role::kRestorer, true,
                        std::move(handler));
  };
  add("StreamEvents", [&archive](const CallContext& context, const Message& request) {
    return OpenRange<EventsStream, v1::StreamEventsRequest>(archive, context, request,
                                                            RangeReader::Resume::kInStream);
  });
  add("StreamTransactions", [&archive](const CallContext& context, const Message& request) {
    return OpenRange<TransactionsStream, v1::StreamTransactionsRequest>(archive, context, request,
                                                                        RangeReader::Resume::kAnew);
  });
  add("StreamSourceFile", [&archive](const CallContext& context, const Message& request) {
    return OpenSourceFile(archive, context, request);
  });
}

}  // namespace tidemark::rpc
