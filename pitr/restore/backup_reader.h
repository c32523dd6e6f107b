// The text of a dump, front to back, whether the file is plain, .gz or .zst (told by its first
// bytes, not its name). Several gzip members or zstd frames behind each other are one text. Memory
// is bounded by the decompressor's window (zstd: at most 128 MiB). Owns the file; one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "replication/base/file_system.h"

namespace tidemark {

class BackupReader {
 public:
  virtual ~BackupReader() = default;
  // Fills up to buffer.size() bytes; 0 at the end. kBadBackup if the compressed data is damaged or
  // cut short.
  virtual Result<size_t> Read(std::span<uint8_t> buffer) = 0;
  virtual bool compressed() const = 0;
  uint64_t stored_offset() const { return offset_; }  // how far into the file we are, for progress
  uint64_t stored_size() const { return size_; }

 protected:
  BackupReader(std::unique_ptr<File> file, std::string path, uint64_t size)
      : file_(std::move(file)), path_(std::move(path)), size_(size) {}
  Result<size_t> ReadStored(std::span<uint8_t> buffer);

  std::unique_ptr<File> file_;
  std::string path_;
  uint64_t size_;
  uint64_t offset_ = 0;
};

Result<std::unique_ptr<BackupReader>> OpenBackup(FileSystem& files, const std::string& path);

}  // namespace tidemark
