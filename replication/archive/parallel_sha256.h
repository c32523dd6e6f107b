// SHA-256 by a thread of its own, beside the thread that gives it the bytes: hashing a segment
// takes as long as decoding and scanning it. Internal to replication/archive.
//
// Copies what it is given, into two buffers of kParallelShaBufferBytes; the thread is started when
// the first of them is full, so that small segments do without. One thread uses an object.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "replication/base/checksum.h"

namespace tidemark {

inline constexpr size_t kParallelShaBufferBytes = 1 << 20;

class ParallelSha256 {
 public:
  ParallelSha256();
  ~ParallelSha256();

  void Update(Bytes bytes);
  // GoBack forgets everything given since the last Mark (none yet: since the beginning).
  void Mark();
  void GoBack();
  Sha256Digest Finish();  // the object may not be used afterwards

 private:
  void HandOver(bool mark);
  void HashHere(bool mark);
  void WaitUntilIdle();
  void Work();

  std::vector<uint8_t> filling_;  // the user's

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<uint8_t> hashing_;  // the thread's while busy_, else the user's
  bool mark_behind_ = false;      // what is in hashing_
  bool busy_ = false;
  bool done_ = false;

  Sha256 hash_;    // as hashing_
  Sha256 marked_;  // as hashing_
  std::thread thread_;
};

}  // namespace tidemark
