// What a client of StreamService asked for, pulled out of the archive piece by piece: an
// EventCursor with a view of its own, followed on as the archive grows. One thread at a time.
// Memory as of EventCursor; while nothing is archived for a while, no more than some GTID sets.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "pitr/event_cursor.h"
#include "tidemark/v1/stream_service.pb.h"
#include "tools/rpc/shared_archive.h"

namespace tidemark::rpc {

// So long without anything new, and decoder and view are given up until there is.
inline constexpr std::chrono::milliseconds kHibernateAfter{2000};

class RangeReader {
 public:
  enum class State : uint8_t { kPiece, kNothingYet, kWaiting, kEnd };
  // Whether a range that was received in part goes on in the middle of a binlog: then a format
  // description that the receiver has from before is not given again.
  enum class Resume : uint8_t { kInStream, kAnew };

  // kUsage: the range is not one. Else as of Locator::Resolve; kGap and kUnreachableTarget if a
  // wanted transaction is not archived.
  static Result<std::unique_ptr<RangeReader>> Open(
      SharedArchive& archive, const tidemark::v1::StreamRange& range, Resume resume,
      std::chrono::milliseconds hibernate_after = kHibernateAfter);

  // `piece`, if there is one, is valid until the next call. kWaiting: everything durable when the
  // call began was given. kGap if what came meanwhile came behind a gap. After an error the reader
  // must not be asked again.
  Result<State> Next(StreamPiece* piece);
  bool resumed() const { return resumed_; }
  bool follows() const { return follow_; }
  const std::string& source() const { return source_; }
  const std::string& source_file() const { return cursor_->source_file(); }  // of the last piece
  bool hibernating() const { return cursor_ == nullptr; }
  // Of the last piece's file everything is given, from its beginning on. Not while hibernating.
  bool BeginsFile() const;
  // The format description of the archive's last segment; empty if there is none. Not while
  // hibernating.
  Result<std::string> LastFormatDescription();

 private:
  struct Format {
    std::string file;
    Uuid server;
    std::string event;
    bool operator==(const Format&) const = default;
  };

  RangeReader(SharedArchive& archive, std::chrono::milliseconds hibernate_after)
      : archive_(archive), hibernate_after_(hibernate_after) {}
  Status Begin(const tidemark::v1::StreamRange& range);
  Status CheckNothingMissing(const GtidSet& wanted) const;
  Status CheckNewGaps();
  Status FindFormat(const GtidSet& received);
  Status WakeUp(bool* woken);
  Status LookAgain();
  void HibernateIfIdle();

  SharedArchive& archive_;
  const std::chrono::milliseconds hibernate_after_;
  std::string source_;
  bool follow_ = false;
  bool resumed_ = false;
  bool allow_missing_ = false;
  StreamRange range_;  // `exclude` grows with what was given
  Format format_;      // that the receiver has
  uint64_t gaps_checked_to_ = 0;
  std::chrono::steady_clock::time_point given_at_ = std::chrono::steady_clock::now();

  // Both or neither: not while hibernating. Then: how far the archive went.
  std::unique_ptr<ArchiveView> view_;
  std::unique_ptr<EventCursor> cursor_;
  uint64_t seen_segment_ = 0;
  uint64_t seen_raw_bytes_ = 0;
};

}  // namespace tidemark::rpc
