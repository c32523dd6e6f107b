// What a dump says about the moment it was taken, gathered from its items in order. Pure.
//
// Forms known (mysqldump 5.6 to 9.7, client/mysqldump.cc: add_set_gtid_purged,
// do_show_binary_log_status):
//   SET @@GLOBAL.GTID_PURGED='SET';                     SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/
//   'SET';
//   /* SET @@GLOBAL.GTID_PURGED='+SET';*/               and "-- " before any of them, also on each
//   line of a long one CHANGE MASTER TO MASTER_LOG_FILE='F', MASTER_LOG_POS=N;        CHANGE
//   REPLICATION SOURCE TO SOURCE_LOG_FILE=…;
// A statement counts for more than a comment. Two that differ are an error: two dumps in one file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "pitr/restore/dump_lexer.h"
#include "replication/base/status.h"
#include "replication/event/gtid_set.h"

namespace tidemark {

struct DumpPosition {
  std::string file;
  uint64_t position = 0;
  bool operator==(const DumpPosition&) const = default;
};

// nullopt if `text` does not begin with such a statement. An error says what is wrong with it,
// without naming a place.
Result<std::optional<GtidSet>> ParseGtidPurged(std::string_view text);
Result<std::optional<DumpPosition>> ParseChangeSource(std::string_view text);

class DumpCoordinate {
 public:
  // False if nothing further can matter: an error, or the tables begin and the coordinate is known.
  bool Take(const DumpItem& item);
  void Finish();  // the dump ends here

  const Status& status() const { return status_; }  // kBadBackup, naming the line
  const std::optional<GtidSet>& gtid_set() const { return active_ ? active_ : commented_; }
  bool gtid_set_active() const { return active_.has_value(); }  // loading the dump sets it
  const std::optional<DumpPosition>& position() const { return position_; }
  bool position_active() const {
    return position_active_;
  }  // loading the dump configures replication
  bool position_of_upstream() const { return upstream_; }  // --dump-replica: somebody else's binlog
  bool is_mysqldump() const { return is_mysqldump_; }
  bool is_mariadb() const { return is_mariadb_; }
  const std::string& server_version() const { return server_version_; }

 private:
  void TakeStatement(const DumpItem& item);
  void TakeComment(std::string_view text, uint64_t line);
  void TakeCommentLine(const DumpItem& item);
  void FlushCommentLines();
  void SetGtids(Result<std::optional<GtidSet>> found, std::optional<GtidSet>* kept, uint64_t line);
  void SetPosition(Result<std::optional<DumpPosition>> found, bool active, uint64_t line);

  Status status_;
  std::optional<GtidSet> active_, commented_;
  std::optional<DumpPosition> position_;
  bool position_active_ = false;
  bool upstream_ = false;
  bool next_is_upstream_ = false;
  bool is_mysqldump_ = false;
  bool is_mariadb_ = false;
  std::string server_version_;
  std::string lines_;  // a commented-out statement that goes on from comment line to comment line
  uint64_t lines_at_ = 0;
};

}  // namespace tidemark
