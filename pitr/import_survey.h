// Reads binlog files once before anything of them is imported, and says what is in them: which
// transactions the archive lacks, which it has and whether they are the same. Writes nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "pitr/archive_view.h"
#include "pitr/import_writer.h"
#include "replication/source/binlog_file.h"

namespace tidemark {

struct SurveyedFile {
  std::string path;
  std::string name;  // as the server called it: the path's last part
  uint64_t bytes = 0;
  uint64_t whole_bytes = 0;  // up to the end of its last whole transaction, or what is behind it
  bool truncated = false;    // it ends inside a transaction, or an event
  bool closed = false;       // it ends as a server ends a file
  std::string next_name;     // of the file behind it, if it says so; "" otherwise
  uint32_t server_id = 0;
  std::optional<Uuid> server_uuid;  // nullopt: nobody knows
  std::optional<Uuid> own_origin;   // of what was committed on its server first, see OwnOrigin
  uint32_t created = 0;
  GtidSet previous;
  GtidSet gtids;
  GtidSet wanted;   // of them: missing in the archive
  GtidSet already;  // of them: in the archive, and the same there
  GtidSet passed;   // of them: neither, as they come after the archive's end or were given up there
  uint64_t transactions = 0;
};

struct SurveyOptions {
  bool allow_truncated = false;
  std::optional<Uuid> server_uuid;  // that wrote the files, whatever their server id says
};

// Of transactions in files, which must be the same as the archive's of those names.
class ArchivedCopies {
 public:
  explicit ArchivedCopies(ArchiveView& view) : view_(view) {}

  struct Copy {
    uint64_t xxh64 = 0;  // of its bytes
    int64_t original_commit_us = 0;
  };
  // `server_uuid`: of the server that wrote the file. Two servers write one transaction in
  // different bytes; what they agree on is when it was committed first. kDivergence, later on.
  Status Add(const std::string& path, const std::optional<Uuid>& server_uuid, const Gtid& gtid,
             Copy copy);
  Status Flush();

 private:
  struct Wanted {
    std::string path;
    std::optional<Uuid> server_uuid;
    Copy copy;
  };
  Status Compare(const Gtid& gtid, const Copy& archived);

  ArchiveView& view_;
  std::map<Gtid, Wanted> wanted_;
  GtidSet gtids_;
  Uuid archived_server_;  // of what is compared now
};

class Survey {
 public:
  // `progress`: bytes read so far of all files; false interrupts.
  Survey(ArchiveView& view, SurveyOptions options, std::function<bool(uint64_t)> progress);
  // kTruncated, kCorruption, kUnsupportedFormat of the file; kDivergence if it is of another
  // history; kUsage if it is not what it is said to be.
  Result<SurveyedFile> Read(const std::string& path);
  // Behind the last file: what was not compared yet.
  Status Finish() { return copies_.Flush(); }

 private:
  class Reading;
  Status FindWriter(SurveyedFile* file);
  Status CheckKnown(SurveyedFile* file) const;

  ArchiveView& view_;
  const SurveyOptions options_;
  const std::function<bool(uint64_t)> progress_;
  const Coverage coverage_;
  GtidSet missing_;   // in all gaps
  GtidSet given_up_;  // where the source was begun: what the one before had, and it had not
  ArchivedCopies copies_;
  std::optional<KnownServers> servers_;
  uint64_t bytes_read_ = 0;
};

}  // namespace tidemark
