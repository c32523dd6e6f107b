// The small text files beside the segments, and of a restore under way; the first byte says which.
// Whatever they hold, reading them ends in a Status, and what is accepted means the same when it is
// written down again.
#include <cstdio>
#include <string>

#include "pitr/restore/restore_state.h"
#include "pitr/source_summary.h"
#include "replication/archive/archive_directory.h"
#include "replication/archive/operator_record.h"
#include "replication/base/checksum.h"
#include "tests/support/memory_file_system.h"

namespace tidemark {
namespace {

constexpr char kRoot[] = "/a";
constexpr char kSource[] = "main";
constexpr int64_t kNowUs = 1'700'000'000'000'000;

struct Archive {
  explicit Archive(const std::string& file, std::string_view text) {
    files.Put(std::string(kRoot) + "/" + kSource + "/" + file, text);
  }
  MemoryFileSystem files;
  ArchiveDirectory directory{files, kRoot};
};

void TryIdentity(std::string_view text) {
  Archive archive("identity", text);
  const auto identity = archive.directory.ReadIdentity(kSource);
  if (!identity.ok()) return;
  TM_CHECK(archive.directory.WriteIdentity(kSource, *identity).ok());
  const auto again = archive.directory.ReadIdentity(kSource);
  TM_CHECK(again.ok() && again->replica_uuid == identity->replica_uuid &&
           again->server_uuids == identity->server_uuids && again->forks == identity->forks);
}

// With the last line that makes it whole: no input would hit on it.
std::string Signed(std::string_view text) {
  char end[32];
  std::snprintf(end, sizeof(end), "crc32 = %08x\n", Crc32(0, AsBytes(text)));
  return std::string(text) + end;
}

void TryAcknowledgements(std::string_view text) {
  Archive archive("acknowledged_gaps", Signed(text));
  const auto before = ReadAcknowledgedGaps(archive.directory, kSource);
  if (!before.ok()) return;
  GapAcknowledgement more;
  more.gtids = *GtidSet::Parse("00000000-0000-0000-0000-0000000000ff:7777");
  more.note = {"fuzzer", kNowUs, "to have it written anew"};
  const auto added = AddAcknowledgedGap(archive.directory, kSource, more);
  if (!added.ok()) return;  // no room for more
  const auto after = ReadAcknowledgedGaps(archive.directory, kSource);
  TM_CHECK(after.ok() && after->size() == before->size() + (added->empty() ? 0 : 1));
  for (size_t i = 0; i < before->size(); ++i) TM_CHECK((*after)[i] == (*before)[i]);
}

void TryPause(std::string_view text) {
  Archive archive("paused", Signed(text));
  const auto pause = ReadPause(archive.directory, kSource);
  if (!pause.ok() || !*pause || !CheckOperatorNote(**pause).ok()) return;
  TM_CHECK(WritePause(archive.directory, kSource, **pause).ok());
  const auto again = ReadPause(archive.directory, kSource);
  TM_CHECK(again.ok() && *again == *pause);
}

void TryRestoreState(std::string_view text) {
  const auto state = DecodeRestoreState(std::string(text));
  if (!state.ok()) return;
  const std::string written = EncodeRestoreState(*state);
  const auto again = DecodeRestoreState(written);
  TM_CHECK(again.ok() && EncodeRestoreState(*again) == written);
}

}  // namespace
}  // namespace tidemark

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tidemark;
  if (size == 0) return 0;
  const std::string_view text = AsText({data + 1, size - 1});
  switch (data[0] % 5) {
    case 0: TryIdentity(text); break;
    case 1: TryAcknowledgements(text); break;
    case 2: TryPause(text); break;
    case 3: TryRestoreState(text); break;
    default: (void)ParseLiveState(std::string(text));
  }
  return 0;
}
