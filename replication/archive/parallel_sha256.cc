#include "replication/archive/parallel_sha256.h"

#include <algorithm>
#include <utility>

namespace tidemark {

ParallelSha256::ParallelSha256() = default;

ParallelSha256::~ParallelSha256() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    done_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void ParallelSha256::Update(Bytes bytes) {
  while (!bytes.empty()) {
    const size_t taken = std::min(bytes.size(), kParallelShaBufferBytes - filling_.size());
    filling_.insert(filling_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(taken));
    bytes = bytes.subspan(taken);
    if (filling_.size() == kParallelShaBufferBytes) HandOver(false);
  }
}

void ParallelSha256::Mark() { HandOver(true); }

void ParallelSha256::GoBack() {
  filling_.clear();
  WaitUntilIdle();
  hash_ = marked_.Copy();
}

Sha256Digest ParallelSha256::Finish() {
  HandOver(false);
  WaitUntilIdle();
  return hash_.Finish();
}

void ParallelSha256::HandOver(bool mark) {
  if (!thread_.joinable()) {
    if (filling_.size() < kParallelShaBufferBytes) return HashHere(mark);
    thread_ = std::thread([this] { Work(); });
  }
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !busy_; });
    std::swap(filling_, hashing_);
    mark_behind_ = mark;
    busy_ = true;
  }
  changed_.notify_all();
  filling_.clear();
}

void ParallelSha256::HashHere(bool mark) {
  hash_.Update(filling_);
  filling_.clear();
  if (mark) marked_ = hash_.Copy();
}

void ParallelSha256::WaitUntilIdle() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !busy_; });
}

void ParallelSha256::Work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return busy_ || done_; });
    if (!busy_) return;
    lock.unlock();
    hash_.Update(hashing_);
    if (mark_behind_) marked_ = hash_.Copy();
    lock.lock();
    busy_ = false;
    changed_.notify_all();
  }
}

}  // namespace tidemark
