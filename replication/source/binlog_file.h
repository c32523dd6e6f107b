// A binary log file as it lies on a disk, event by event: what `pitr import` reads. Checks what a
// reader of files has to: that it is a plain binary log of MySQL's, that its events' sizes are
// possible, and that it does not end inside one. What is in the events is the scanner's to check.
//
// Never writes. Memory: one event whole, at most kEventBytesMax. One thread per object. A file that
// grows meanwhile is read as long as it was when it was opened.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "replication/base/file_system.h"
#include "replication/event/control_events.h"
#include "replication/event/gtid_set.h"

namespace tidemark {

class BinlogFile {
 public:
  // kUnsupportedFormat for what is no binary log that can be read: encrypted, compressed, a relay
  // log, MariaDB's, of a server without GTIDs; kTruncated if not even its beginning is there.
  static Result<std::unique_ptr<BinlogFile>> Open(FileSystem& files, const std::string& path);

  const std::string& path() const { return path_; }
  uint64_t bytes() const { return bytes_; }
  uint32_t server_id() const { return server_id_; }      // of the server that wrote it
  uint32_t created() const { return created_; }          // seconds since the epoch
  const GtidSet& previous() const { return previous_; }  // as its Previous_gtids says

  // The next event, from the format description on, header to checksum; valid until the next call.
  // kEndOfData at the file's end; kTruncated if it ends inside an event; kCorruption.
  Result<Bytes> Next();
  uint64_t position() const { return position_; }  // in the file, behind the event given last
  void Rewind();                                   // to the format description

 private:
  BinlogFile(std::unique_ptr<File> file, std::string path, uint64_t bytes)
      : file_(std::move(file)), path_(std::move(path)), bytes_(bytes) {}

  Status ReadBeginning();
  Status Describe(Bytes event);
  Status Fill(size_t wanted);
  Status Foreign(const std::string& what, const std::string& hint) const;

  std::unique_ptr<File> file_;
  const std::string path_;
  const uint64_t bytes_;
  uint32_t server_id_ = 0;
  uint32_t created_ = 0;
  GtidSet previous_;
  uint64_t position_ = 0;
  std::vector<uint8_t> buffer_;  // of the file, from position_ - taken_ on
  size_t taken_ = 0;
};

}  // namespace tidemark
