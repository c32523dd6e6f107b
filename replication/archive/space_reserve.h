// The space reserve: ARCHIVE/reserve, a file of allocated bytes that nobody reads. When a write
// finds the disk full it is given up first, so that there is room to cut and seal segments, to
// write the index and to say what is wrong. Archiving then waits, goes on by itself when there is
// room for the reserve and some more, and has the reserve made again before: archiving never eats
// it. All sources share one.
//
// The file is its own memory: of 0 bytes it was given up, which a restart does not change; absent
// it was never made, for lack of room, and archiving does not wait for it. It is made under another
// name: a crash leaves a whole one or none.
//
// Any thread. The file system must outlive the object.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

#include "replication/base/file_system.h"

namespace tidemark {

class SpaceReserve {
 public:
  // `bytes` 0: there shall be none.
  SpaceReserve(FileSystem& files, std::string archive_root, uint64_t bytes);

  // What must be free for the reserve to be made: itself and half as much again, so that who goes
  // on archiving does not meet the full disk at once.
  static uint64_t NeededBytes(uint64_t bytes) { return bytes + bytes / 2; }

  // At start-up, before anybody archives: what was there, and what shall be, from now on. OK: as it
  // shall be. Else why not; kDiskFull: no room.
  Status Open();
  // Another size, or none.
  Status Resize(uint64_t bytes);
  // OK: archiving may begin or go on. Makes what was given up; kDiskFull: there is no room for that
  // yet. One that was never made is tried, too, but nothing waits for it.
  Status Keep();
  // The disk is full. True if that has freed something.
  bool GiveUp();

  bool given_up() const { return given_up_; }    // archiving has to wait
  uint64_t held_bytes() const { return held_; }  // 0: given up, or never made
  uint64_t wanted_bytes() const { return bytes_; }
  const std::string& path() const { return path_; }

 private:
  Status RemoveIfThere(const std::string& path);
  Status Settle();
  Status Make();
  Status MakeNew(const std::string& temporary);
  Status Look();
  Status Drop();
  Status Empty();

  FileSystem& files_;
  const std::string root_;
  const std::string path_;
  std::mutex mutex_;  // all of the changes, one at a time
  std::atomic<uint64_t> bytes_;
  std::atomic<uint64_t> held_ = 0;
  std::atomic<bool> given_up_;  // or, until Look has succeeded, may have been
  bool known_ = false;          // it has
};

}  // namespace tidemark
