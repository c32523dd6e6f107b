#include "pitr/restore/backup_reader.h"

#include <zlib.h>
#include <zstd.h>

#include <vector>

namespace tidemark {
namespace {

constexpr size_t kStoredBytes = 256 << 10;

Status Damaged(const std::string& path, const std::string& what) {
  return Status(Code::kBadBackup, path + " cannot be decompressed: " + what,
                "the file is damaged or incomplete; take another backup");
}

class PlainReader : public BackupReader {
 public:
  using BackupReader::BackupReader;
  PlainReader(std::unique_ptr<File> file, std::string path, uint64_t size)
      : BackupReader(std::move(file), std::move(path), size) {}
  Result<size_t> Read(std::span<uint8_t> buffer) override { return ReadStored(buffer); }
  bool compressed() const override { return false; }
};

class GzipReader : public BackupReader {
 public:
  GzipReader(std::unique_ptr<File> file, std::string path, uint64_t size)
      : BackupReader(std::move(file), std::move(path), size), stored_(kStoredBytes) {
    TM_CHECK(::inflateInit2_(&stream_, 15 + 16, ZLIB_VERSION, sizeof stream_) ==
             Z_OK);  // gzip only
  }
  ~GzipReader() override { ::inflateEnd(&stream_); }
  bool compressed() const override { return true; }

  Result<size_t> Read(std::span<uint8_t> buffer) override {
    stream_.next_out = buffer.data();
    stream_.avail_out = static_cast<uInt>(buffer.size());
    while (stream_.avail_out == buffer.size()) {
      if (stream_.avail_in == 0) {
        TM_ASSIGN_OR_RETURN(const size_t got, ReadStored(stored_));
        if (got == 0 && between_members_) return size_t{0};
        if (got == 0) return Damaged(path_, "it ends in the middle of its gzip stream");
        stream_.next_in = stored_.data();
        stream_.avail_in = static_cast<uInt>(got);
      }
      if (between_members_) ::inflateReset(&stream_);
      between_members_ = false;
      const int result = ::inflate(&stream_, Z_NO_FLUSH);
      if (result == Z_STREAM_END) {
        between_members_ = true;
      } else if (result != Z_OK && result != Z_BUF_ERROR) {
        return Damaged(path_, stream_.msg != nullptr ? stream_.msg : "not a gzip stream");
      }
    }
    return buffer.size() - stream_.avail_out;
  }

 private:
  z_stream stream_{};
  std::vector<uint8_t> stored_;
  bool between_members_ = false;
};

class ZstdReader : public BackupReader {
 public:
  ZstdReader(std::unique_ptr<File> file, std::string path, uint64_t size)
      : BackupReader(std::move(file), std::move(path), size),
        stored_(kStoredBytes),
        context_(ZSTD_createDCtx()) {
    TM_CHECK(context_ != nullptr);
  }
  ~ZstdReader() override { ZSTD_freeDCtx(context_); }
  bool compressed() const override { return true; }

  Result<size_t> Read(std::span<uint8_t> buffer) override {
    ZSTD_outBuffer out{buffer.data(), buffer.size(), 0};
    while (out.pos == 0) {
      if (in_.pos == in_.size && !full_) {
        TM_ASSIGN_OR_RETURN(const size_t got, ReadStored(stored_));
        if (got == 0 && left_ == 0) return size_t{0};
        if (got == 0) return Damaged(path_, "it ends in the middle of a zstd frame");
        in_ = {stored_.data(), got, 0};
      }
      left_ = ZSTD_decompressStream(context_, &out, &in_);
      if (ZSTD_isError(left_)) return Damaged(path_, ZSTD_getErrorName(left_));
      full_ = out.pos == out.size && left_ != 0;  // it may hold more output than fitted
    }
    return out.pos;
  }

 private:
  std::vector<uint8_t> stored_;
  ZSTD_DCtx* const context_;
  ZSTD_inBuffer in_{nullptr, 0, 0};
  size_t left_ = 0;  // 0: at the end of a frame
  bool full_ = false;
};

}  // namespace

Result<size_t> BackupReader::ReadStored(std::span<uint8_t> buffer) {
  TM_ASSIGN_OR_RETURN(const size_t got, file_->ReadAt(offset_, buffer));
  offset_ += got;
  return got;
}

Result<std::unique_ptr<BackupReader>> OpenBackup(FileSystem& files, const std::string& path) {
  TM_ASSIGN_OR_RETURN(auto file, files.Open(path, OpenMode::kRead));
  TM_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  uint8_t magic[4] = {};
  TM_ASSIGN_OR_RETURN(const size_t got, file->ReadAt(0, magic));
  std::unique_ptr<BackupReader> reader;
  if (got >= 2 && magic[0] == 0x1F && magic[1] == 0x8B) {
    reader = std::make_unique<GzipReader>(std::move(file), path, size);
  } else if (got == 4 && LoadLittleEndian(magic, 4) == ZSTD_MAGICNUMBER) {
    reader = std::make_unique<ZstdReader>(std::move(file), path, size);
  } else {
    reader = std::make_unique<PlainReader>(std::move(file), path, size);
  }
  return reader;
}

}  // namespace tidemark
