// Applies with stock tools: the archive's events → `mysqlbinlog -` → `mysql`, one session of the
// target.
//
// Slow (about 1 MB/s) and single-threaded, but it needs nothing of the target except a login with
// the rights to set GTID_NEXT and run BINLOG statements. GTIDs stay what they are. Rows events have
// a longest size (below), and the target must allow statements of that size (the servers that we
// provision do). Memory is the tools' own: about 4 times the largest event in each, nothing here.
#pragma once

#include <string>

#include "pitr/restore/applier.h"
#include "pitr/restore/client_access.h"

namespace tidemark {

struct PipeTools {
  std::string mysqlbinlog;  // paths
  std::string mysql;
};

// The longest rows event of which mysqlbinlog's BINLOG statement fits into the largest
// max_allowed_packet, 1 GiB: base64 with a line break every 76 characters makes 77 of 57 bytes.
// Measured with MySQL 9.7.4: a row of 757 MiB passes, one of 759 MiB does not.
inline constexpr uint64_t kPipeRowsEventBytesMax = (uint64_t{757} << 20) + (1u << 16);

// kUnreachableTarget, naming the transaction, if the plan needs an event that the pipe cannot
// carry. Reads through transactions that are long enough to hold one, and those only. An event
// inside a compressed transaction is not seen: its size is not known without decompression.
Status CheckPipeCarries(ArchiveView& view, const Plan& plan);

class PipeApplier : public Applier {
 public:
  PipeApplier(const ClientAccess& access, PipeTools tools)
      : access_(access), tools_(std::move(tools)) {}

  const char* name() const override { return "pipe"; }
  Status Apply(SourceAccess& archive, const Plan& plan, const OnProgress& on_progress) override;

  // Where the events come from, for tests: calls the sink with a binlog stream.
  using Events = std::function<Status(const EventStream::Sink& sink, StreamProgress* progress)>;
  Status ApplyStream(const Events& events, uint64_t transactions, const OnProgress& on_progress);

 private:
  const ClientAccess& access_;
  const PipeTools tools_;
};

}  // namespace tidemark
