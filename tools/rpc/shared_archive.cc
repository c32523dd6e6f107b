#include "tools/rpc/shared_archive.h"

namespace tidemark::rpc {

SharedArchive::SharedArchive(FileSystem& files, std::string root, Index& index,
                             LiveStateOf live_state)
    : directory_(files, std::move(root)), index_(index), live_state_(std::move(live_state)) {}

Result<SharedArchive::Lease> SharedArchive::TakeView(const std::string& source) {
  std::unique_ptr<ArchiveView> view;
  if (!source.empty()) {
    std::lock_guard lock(mutex_);
    const auto at = idle_.find(source);
    if (at != idle_.end() && !at->second.empty()) {
      view = std::move(at->second.back());
      at->second.pop_back();
    }
  } else {
    // Without a name there must be just one; which one, the directory says.
    TM_ASSIGN_OR_RETURN(const std::vector<std::string> names, directory_.Sources());
    if (names.size() == 1) return TakeView(names.front());
  }
  if (view == nullptr) {
    TM_ASSIGN_OR_RETURN(view, OpenView(source));
  } else {
    TM_RETURN_IF_ERROR(view->Refresh());
  }
  return Lease(*this, std::move(view));
}

Result<std::unique_ptr<ArchiveView>> SharedArchive::OpenView(const std::string& source) {
  return ArchiveView::Over(directory_.files(), directory_.root(), source, index_);
}

void SharedArchive::GiveBack(std::unique_ptr<ArchiveView> view) {
  std::lock_guard lock(mutex_);
  std::vector<std::unique_ptr<ArchiveView>>& idle = idle_[view->source()];
  if (idle.size() < kViewsKeptMax) idle.push_back(std::move(view));
}

Result<std::vector<std::string>> SharedArchive::SourceNames(const std::string& source) const {
  if (source.empty()) return directory_.Sources();
  return std::vector<std::string>{source};
}

std::optional<LiveState> SharedArchive::LiveStateFor(const std::string& source) {
  return live_state_ ? live_state_(source) : ReadLiveState(directory_, source);
}

}  // namespace tidemark::rpc
