// A bounded queue of bytes between one producer and one consumer thread. Bounded memory is its
// point: an event of any size passes through it in pieces, and a slow disk makes the producer wait,
// which makes the source wait.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>

#include "replication/base/bytes.h"

namespace tidemark {

// Positions count bytes since construction. The ring neither blocks nor wakes anybody: its owner
// does.
class ByteRing {
 public:
  explicit ByteRing(size_t capacity)
      : capacity_(capacity), buffer_(std::make_unique<uint8_t[]>(capacity)) {}

  // Producer: copies as much of `bytes` as fits, and returns how much that was.
  size_t Write(Bytes bytes) {
    const uint64_t head = head_.load(std::memory_order_relaxed);
    const size_t size =
        std::min(bytes.size(),
                 capacity_ - static_cast<size_t>(head - tail_.load(std::memory_order_acquire)));
    const size_t at = head % capacity_;
    const size_t first = std::min(size, capacity_ - at);
    std::memcpy(buffer_.get() + at, bytes.data(), first);
    std::memcpy(buffer_.get(), bytes.data() + first, size - first);
    head_.store(head + size, std::memory_order_release);
    return size;
  }

  // Producer: what it wrote from `position` to the head, or the contiguous part of it. Still there
  // as long as less than the capacity has been written since, whatever the consumer does.
  Bytes Written(uint64_t position) const {
    const size_t at = position % capacity_;
    const auto size = static_cast<size_t>(head_.load(std::memory_order_relaxed) - position);
    return {buffer_.get() + at, std::min(size, capacity_ - at)};
  }

  // Consumer: the longest contiguous piece at the front, at most `size_max` bytes. Valid until
  // Consume.
  Bytes Front(size_t size_max) const {
    const uint64_t tail = tail_.load(std::memory_order_relaxed);
    const size_t at = tail % capacity_;
    const size_t available = static_cast<size_t>(head_.load(std::memory_order_acquire) - tail);
    return {buffer_.get() + at, std::min({size_max, available, capacity_ - at})};
  }
  void Consume(size_t size) {
    tail_.store(tail_.load(std::memory_order_relaxed) + size, std::memory_order_release);
  }

  uint64_t head() const { return head_.load(std::memory_order_acquire); }
  uint64_t tail() const { return tail_.load(std::memory_order_acquire); }
  size_t capacity() const { return capacity_; }

 private:
  const size_t capacity_;
  std::unique_ptr<uint8_t[]> buffer_;
  alignas(64) std::atomic<uint64_t> head_{0};
  alignas(64) std::atomic<uint64_t> tail_{0};
};

}  // namespace tidemark
