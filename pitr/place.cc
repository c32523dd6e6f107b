#include "pitr/place.h"

#include <algorithm>

namespace tidemark {
namespace {

Result<Neighbourhood> Around(Locator& locator, Located found) {
  Neighbourhood around;
  TM_ASSIGN_OR_RETURN(around.previous, locator.Previous(found));
  TM_ASSIGN_OR_RETURN(around.next, locator.Next(found));
  around.found = std::move(found);
  return around;
}

Result<Neighbourhood> Find(Locator& locator, const Gtid& gtid) {
  return locator.FindGtidWithNeighbours(gtid);
}

Result<Neighbourhood> Find(Locator& locator, CommittedFrom from) {
  // No commit time is that early.
  const int64_t last_before_us = std::max<int64_t>(from.time_us, 0) - 1;
  TM_ASSIGN_OR_RETURN(std::optional<Located> found, locator.FindFirstPast(last_before_us));
  if (!found)
    return Status(Code::kNotFound,
                  "nothing in the archive was committed at or after " + FormatTime(from.time_us),
                  "pitr status shows up to when the archive reaches");
  return Around(locator, std::move(*found));
}

Result<Neighbourhood> Find(Locator& locator, const FilePosition& at) {
  TM_ASSIGN_OR_RETURN(std::optional<Located> found, locator.FindPosition(at.file, at.position));
  if (!found)
    return Status(
        Code::kNotFound,
        "the archive has no transaction at " + at.file + ":" + std::to_string(at.position),
        "pitr segments lists the source files");
  return Around(locator, std::move(*found));
}

}  // namespace

Result<Neighbourhood> FindPlace(Locator& locator, const Place& place) {
  TM_ASSIGN_OR_RETURN(Neighbourhood around,
                      std::visit([&](const auto& wanted) { return Find(locator, wanted); }, place));
  TM_RETURN_IF_ERROR(locator.ReadDetails(&around.found));
  return around;
}

}  // namespace tidemark
