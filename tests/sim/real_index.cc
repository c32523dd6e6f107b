#include "tests/sim/real_index.h"

#include <filesystem>

#include "tests/sim/archive_oracle.h"

namespace tidemark::sim {
namespace {

namespace fs = std::filesystem;

}  // namespace

Status RealIndex::Open() {
  fs::remove_all(OlderPath());
  if (fs::exists(Path())) fs::copy(Path(), OlderPath(), fs::copy_options::recursive);
  TM_ASSIGN_OR_RETURN(index_, Index::OpenForWriting(Path()));
  return OkStatus();
}

void RealIndex::Close() { index_.reset(); }

void RealIndex::PowerCut(Dice& dice) {
  const uint64_t fate = dice.Below(3);
  if (fate == 0) return;
  fs::remove_all(Path());
  if (fate == 1 && fs::exists(OlderPath())) fs::rename(OlderPath(), Path());
}

Result<std::string> RealIndex::CompareWithRebuild(ArchiveDirectory& archive) {
  const std::string path = directory_.Path("rebuilt");
  fs::remove_all(path);
  TM_ASSIGN_OR_RETURN(const auto rebuilt, Index::OpenForWriting(path));
  TM_ASSIGN_OR_RETURN(const HealReport report, HealIndex(*rebuilt, archive, kSource, {}));
  std::string have;
  std::string want;
  TM_RETURN_IF_ERROR(DumpIndex(*index_, &have));
  TM_RETURN_IF_ERROR(DumpIndex(*rebuilt, &want));
  if (have == want) return std::string();
  const auto [at, other] = std::mismatch(have.begin(), have.end(), want.begin(), want.end());
  const size_t line = have.rfind('\n', static_cast<size_t>(at - have.begin())) + 1;
  return "it says: " + have.substr(line, have.find('\n', line) - line);
}

}  // namespace tidemark::sim
