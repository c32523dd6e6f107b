// A binary log file from any disk, as `pitr import` reads it: opening and walking it ends in a
// Status, and walking it again gives the same. The first byte: whether it is given its magic
// number.
#include <string>

#include "replication/event/binlog_format.h"
#include "replication/source/binlog_file.h"
#include "tests/support/memory_file_system.h"

namespace {

using tidemark::Code;

struct Walked {
  uint64_t events = 0;
  uint64_t position = 0;
  Code end = Code::kOk;
  bool operator==(const Walked&) const = default;
};

Walked Walk(tidemark::BinlogFile& file) {
  Walked walked;
  for (;;) {
    const auto event = file.Next();
    if (!event.ok()) {
      walked.end = event.error().code();
      return walked;
    }
    TM_CHECK(event->size() >= tidemark::kEventHeaderSize && file.position() > walked.position);
    ++walked.events;
    walked.position = file.position();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr char kPath[] = "/binlog.000001";
  if (size == 0) return 0;
  std::string text;
  if (data[0] % 2 != 0) text = tidemark::AsText(tidemark::kBinlogMagic);
  text += tidemark::AsText({data + 1, size - 1});
  tidemark::MemoryFileSystem files;
  files.Put(kPath, text);
  const auto file = tidemark::BinlogFile::Open(files, kPath);
  if (!file.ok()) return 0;
  const Walked once = Walk(**file);
  TM_CHECK(once.end != Code::kOk && once.position <= text.size());
  (*file)->Rewind();
  TM_CHECK(Walk(**file) == once);
  return 0;
}
