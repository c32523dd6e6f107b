// Cuts a run of events into transactions, as StreamTransactions sends them. Pure; one thread; holds
// at most a Gtid event.
#pragma once

#include <optional>
#include <string>

#include "replication/event/stream_scanner.h"
#include "tidemark/v1/stream_service.pb.h"

namespace tidemark::rpc {

class TransactionCutter {
 public:
  TransactionCutter();

  // A whole format description event: what the events that follow are read by.
  Status OnFormatDescription(Bytes event);
  // A piece of whole transactions' events, cut anywhere, out of `source_file`; its transactions, or
  // parts of them, are added to `message`. kCorruption.
  Status OnEvents(Bytes piece, const std::string& source_file,
                  tidemark::v1::StreamTransactionsResponse* message);

 private:
  struct Open {
    tidemark::v1::TransactionPart head;  // without offset and data
    uint64_t begin = 0;
  };

  Status OnEvent(const ScannedEvent& event);
  void TakeUntil(uint64_t end, bool last);

  StreamScanner scanner_;
  std::optional<Open> open_;
  uint64_t from_ = 0;  // the first byte that is in no part yet
  std::string kept_;   // bytes from from_ on that came with earlier pieces: of a Gtid event

  // Of the piece that is being cut.
  Bytes piece_;
  uint64_t piece_begin_ = 0;
  const std::string* source_file_ = nullptr;
  tidemark::v1::StreamTransactionsResponse* message_ = nullptr;
};

}  // namespace tidemark::rpc
