// Where a dump's events come from, as narrow as pitr/serve needs it: an archive's files
// (ArchiveFeeds), or somebody else's stream of them (tools/cli/remote_feed.h). One thread at a
// time.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "pitr/event_cursor.h"

namespace tidemark {

class EventFeed {
 public:
  // A file of the source for a receiver that was given nothing.
  struct File {
    std::string name;
    std::string format_description;  // the whole event
    uint64_t position = 0;           // all before it was given or is not wanted
  };
  virtual ~EventFeed() = default;

  // As of the opening, or of the last Refresh.
  virtual Coverage coverage() const = 0;
  virtual std::set<Uuid> servers() const = 0;  // that were archived

  // As of EventCursor. Next gives kNothingYet after a while at the latest: whoever is fed must not
  // be left without a word.
  virtual Result<StreamPiece> Next() = 0;
  virtual bool at_stop() const = 0;
  virtual const std::string& source_file() const = 0;
  virtual uint64_t source_position() const = 0;  // 0 also if it is not known
  virtual uint64_t transactions_given() const = 0;

  // Whether a receiver that has `executed` gets all of `file`, from its beginning on. Asked about
  // source_file() and what AnyFile named.
  virtual bool GivesBeginningOf(const std::string& file, const GtidSet& executed) const = 0;
  // The file where the range begins, or with `last` where it ends; nullopt if that is not known.
  virtual Result<std::optional<File>> AnyFile(bool last) = 0;
  // Sees what has been archived since. True: it goes on behind a gap that `executed` does not fill.
  virtual Result<bool> Refresh(const GtidSet& executed) = 0;
};

// Opens one for each receiver. Called from several threads.
using OpenFeed = std::function<Result<std::unique_ptr<EventFeed>>(StreamRange range)>;
using OpenArchiveView = std::function<Result<std::unique_ptr<ArchiveView>>()>;

// Of views at the archive's published end, one for each feed.
OpenFeed ArchiveFeeds(OpenArchiveView open_view);

}  // namespace tidemark
