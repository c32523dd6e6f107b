#include "pitr/restore/continuation.h"

#include <algorithm>
#include <filesystem>

#include "pitr/restore/server_instance.h"

namespace tidemark {
namespace {

constexpr char kLockName[] = "restore.lock";

// Left by a run that ended between claiming the directory and writing down what for: lock, marker,
// option file and state come in this order, the last of them perhaps under its temporary name. What
// is an option file without our marker is somebody's.
bool IsBareClaim(const std::vector<std::string>& names) {
  const bool marked = std::find(names.begin(), names.end(), kRestoringMarker) != names.end();
  return !names.empty() && std::all_of(names.begin(), names.end(), [&](const std::string& name) {
    return name == kLockName || name.starts_with(kRestoringMarker) ||
           name.starts_with(kRestoreStateFile) || (marked && name.starts_with(kOptionFile));
  });
}

std::string SurgeryText(const Surgery& surgery) {
  std::string text;
  for (const std::string& line : DescribeSurgery(surgery))
    text += (text.empty() ? "" : "; ") + line;
  return text.empty() ? "no surgery" : text;
}

template <typename List>
void AddMissing(const List& from, List* to) {
  for (const auto& element : from)
    if (std::find(to->begin(), to->end(), element) == to->end()) to->push_back(element);
}

GtidSet Remaining(const GtidSet& earlier, const GtidSet& given, const GtidSet& wanted) {
  return earlier.Intersection(wanted).Union(given.Minus(earlier));
}

}  // namespace

Result<std::optional<RestoreState>> FindEarlierRestore(FileSystem& files,
                                                       const std::string& directory) {
  if (!files.IsDirectory(directory)) return std::optional<RestoreState>();
  TM_ASSIGN_OR_RETURN(std::optional<RestoreState> state, ReadRestoreState(files, directory));
  if (state) return state;
  TM_ASSIGN_OR_RETURN(const std::vector<std::string> names, files.List(directory));
  if (IsBareClaim(names)) state = RestoreState();
  return state;
}

Status CheckSameRequest(const std::string& directory, const RestoreState& state,
                        const RestoreRequest& request) {
  if (state.source.empty()) return OkStatus();  // nothing is known, and nothing is there
  std::vector<std::string> differences;
  const auto compare = [&](const char* what, const std::string& was, const std::string& asked) {
    if (was != asked) differences.push_back(std::string(what) + " " + was + ", not " + asked);
  };
  compare("source", state.source, request.source);
  compare("target", state.point.ToString(), request.point.ToString());
  if (!request.dump_path.empty()) compare("dump", state.dump_path, request.dump_path);
  if (request.dump_bytes != 0 && request.dump_path == state.dump_path)
    compare("dump of size", std::to_string(state.dump_bytes), std::to_string(request.dump_bytes));
  if (!(state.surgery == request.surgery))
    compare("surgery:", SurgeryText(state.surgery), SurgeryText(request.surgery));
  if (differences.empty()) return OkStatus();
  const bool done = state.step == RestoreStep::kDone;
  std::string message = directory + " is not empty: it holds " +
                        (done ? "a finished" : "an unfinished") + " restore of something else:";
  for (const std::string& difference : differences)
    message += (difference == differences.front() ? " " : "; ") + difference;
  return Status(Code::kTargetRefused, message,
                done
                    ? "--resume brings it forward to a later target; or name another directory"
                    : "run the command that it was begun with to go on, bring it to another target "
                      "with --resume, or name another directory");
}

Surgery Merged(Surgery first, const Surgery& second) {
  first.skip.Add(second.skip);
  first.leave_out.Add(second.leave_out);
  AddMissing(second.only_tables, &first.only_tables);
  AddMissing(second.only_schemas, &first.only_schemas);
  AddMissing(second.without_tables, &first.without_tables);
  return first;
}

Surgery RemainingSurgery(const Surgery& earlier, const Surgery& given, const GtidSet& wanted) {
  Surgery remaining = Merged(earlier, given);
  remaining.skip = Remaining(earlier.skip, given.skip, wanted);
  remaining.leave_out = Remaining(earlier.leave_out, given.leave_out, wanted);
  return remaining;
}

std::string AbsolutePath(const std::string& path) {
  if (path.empty()) return path;
  std::error_code error;
  const std::filesystem::path real =
      std::filesystem::weakly_canonical(std::filesystem::absolute(path, error), error);
  std::string text = error ? path : real.string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

}  // namespace tidemark
