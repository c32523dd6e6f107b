#include "replication/source/binlog_file.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "replication/event/event_integrity.h"

namespace tidemark {
namespace {

constexpr size_t kReadBytes = 1u << 20;
constexpr uint16_t kEventFlagRelayLog = 0x40;  // LOG_EVENT_RELAY_LOG_F

struct ForeignMagic {
  std::string_view bytes;
  const char* what;
  const char* hint;
};
constexpr char kDecompress[] = "decompress it first";
constexpr std::array kForeignMagics{
    ForeignMagic{"\xfd"
                 "bin",
                 "is an encrypted binary log",
                 "have a server that has the keyring send it: mysqlbinlog "
                 "--read-from-remote-server --raw"},
    ForeignMagic{"\x1f\x8b", "is compressed with gzip", kDecompress},
    ForeignMagic{"\x28\xb5\x2f\xfd", "is compressed with zstd", kDecompress},
    ForeignMagic{"\xfd"
                 "7zX",
                 "is compressed with xz", kDecompress},
    ForeignMagic{"BZh", "is compressed with bzip2", kDecompress},
    ForeignMagic{"\x50\x2a\x4d\x18", "is a segment of an archive, not a server's binary log",
                 "zstd -dc makes a binary log of it, if it is whole"},
};

}  // namespace

Result<std::unique_ptr<BinlogFile>> BinlogFile::Open(FileSystem& files, const std::string& path) {
  TM_ASSIGN_OR_RETURN(auto opened, files.Open(path, OpenMode::kRead));
  TM_ASSIGN_OR_RETURN(const uint64_t bytes, opened->Size());
  std::unique_ptr<BinlogFile> file(new BinlogFile(std::move(opened), path, bytes));
  TM_RETURN_IF_ERROR(file->ReadBeginning());
  return file;
}

Status BinlogFile::Foreign(const std::string& what, const std::string& hint) const {
  return Status(Code::kUnsupportedFormat, path_ + " " + what, hint);
}

Status BinlogFile::ReadBeginning() {
  if (bytes_ == 0) return Status(Code::kTruncated, path_ + " is empty", "leave it out");
  TM_RETURN_IF_ERROR(Fill(std::min<uint64_t>(bytes_, kBinlogMagicSize)));
  const std::string_view start = AsText(Bytes(buffer_)).substr(0, kBinlogMagicSize);
  for (const ForeignMagic& magic : kForeignMagics)
    if (start.starts_with(magic.bytes)) return Foreign(magic.what, magic.hint);
  if (start != AsText(kBinlogMagic))
    return Foreign("is no binary log: it does not begin with a binary log's magic bytes",
                   "name a server's binary log files");
  if (bytes_ == kBinlogMagicSize)
    return Status(Code::kTruncated, path_ + " has nothing behind its magic bytes", "leave it out");
  Rewind();
  TM_ASSIGN_OR_RETURN(Bytes event, Next());
  TM_RETURN_IF_ERROR(Describe(event));
  const Result<FormatDescription> description = ParseFormatDescription(event);
  if (!description.ok()) return Status(description.error()).WithContext(path_);
  Result<Bytes> second = Next();
  if (!second.ok() && second.error().code() != Code::kEndOfData) return second.error();
  if (!second.ok() || ReadEventHeader(second->data()).type != EventType::kPreviousGtids)
    return Foreign("has no Previous_gtids behind its format description",
                   "it is of a server without GTIDs, or no whole file");
  if (description->checksum == ChecksumAlgorithm::kCrc32 && !EventChecksumMatches(*second))
    return Status(Code::kCorruption, path_ + ": its Previous_gtids has a wrong checksum",
                  "find another copy of the file");
  Result<GtidSet> previous = ParsePreviousGtids(EventBody(*second, description->checksum));
  if (!previous.ok()) return Status(previous.error()).WithContext(path_);
  previous_ = std::move(*previous);
  Rewind();
  return OkStatus();
}

Status BinlogFile::Describe(Bytes event) {
  const EventHeader header = ReadEventHeader(event.data());
  if (header.type != EventType::kFormatDescription)
    return Foreign("does not begin with a format description, but an " + EventName(header.type),
                   "name a server's whole binary log files");
  if ((header.flags & kEventFlagRelayLog) != 0)
    return Foreign("is a relay log",
                   "name the binary log files of the source, or those of a replica that writes "
                   "them (log_replica_updates)");
  if (AsText(event).find("MariaDB") != std::string_view::npos)
    return Foreign("is a binary log of MariaDB's", "archives are of MySQL servers");
  if (!EventChecksumMatches(event))
    return Status(Code::kCorruption,
                  path_ + ": the format description at position 4 has a wrong checksum",
                  "find another copy of the file");
  server_id_ = header.server_id;
  created_ = header.timestamp;
  return OkStatus();
}

void BinlogFile::Rewind() {
  position_ = kBinlogMagicSize;
  buffer_.clear();
  taken_ = 0;
}

// `wanted` bytes from position_ on are in the buffer: the caller knows that the file has them.
Status BinlogFile::Fill(size_t wanted) {
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<ptrdiff_t>(taken_));
  taken_ = 0;
  const size_t have = buffer_.size();
  const uint64_t left = bytes_ - position_;
  buffer_.resize(static_cast<size_t>(std::min<uint64_t>(left, std::max(wanted, kReadBytes))));
  for (size_t at = have; at < buffer_.size();) {
    TM_ASSIGN_OR_RETURN(const size_t got,
                        file_->ReadAt(position_ + at, {buffer_.data() + at, buffer_.size() - at}));
    if (got == 0)
      return Status(Code::kIo, path_ + " has become shorter while it was read",
                    "import a copy that nobody writes to");
    at += got;
  }
  return OkStatus();
}

Result<Bytes> BinlogFile::Next() {
  const uint64_t left = bytes_ - position_;
  if (left == 0) return Status(Code::kEndOfData, path_ + " ends");
  const auto cut = [&] {
    return Status(Code::kTruncated, path_ + " ends at " + std::to_string(bytes_) +
                                        ", inside an event that begins at " +
                                        std::to_string(position_));
  };
  if (left < kEventHeaderSize) return cut();
  if (buffer_.size() - taken_ < kEventHeaderSize) TM_RETURN_IF_ERROR(Fill(kEventHeaderSize));
  const uint64_t size = ReadEventHeader(buffer_.data() + taken_).size;
  if (size < kEventHeaderSize || size > kEventBytesMax)
    return Status(Code::kCorruption,
                  path_ + ": the event at position " + std::to_string(position_) + " claims " +
                      std::to_string(size) + " bytes",
                  "find another copy of the file; what is before that position can be had by "
                  "cutting a copy there, and --allow-truncated");
  if (size > left) return cut();
  if (buffer_.size() - taken_ < size) TM_RETURN_IF_ERROR(Fill(static_cast<size_t>(size)));
  const Bytes event = Bytes(buffer_).subspan(taken_, static_cast<size_t>(size));
  taken_ += event.size();
  position_ += event.size();
  return event;
}

}  // namespace tidemark
