// The archive as the daemon has it open, for many calls at once: over its index, beside its
// archivers. Any thread. The index must outlive the object, and the object what it hands out.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "pitr/archive_view.h"
#include "pitr/source_summary.h"

namespace tidemark::rpc {

// Views kept open between calls, of each source: so many calls at once need not open one.
inline constexpr size_t kViewsKeptMax = 8;

class SharedArchive {
 public:
  // What the daemon says of a source; default: what daemon.json says.
  using LiveStateOf = std::function<std::optional<LiveState>(const std::string& source)>;

  SharedArchive(FileSystem& files, std::string root, Index& index, LiveStateOf live_state = {});

  // A view as of now that is the holder's alone; goes back when it is destroyed.
  class Lease {
   public:
    Lease(SharedArchive& archive, std::unique_ptr<ArchiveView> view)
        : archive_(&archive), view_(std::move(view)) {}
    Lease(Lease&& other) noexcept = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (view_) archive_->GiveBack(std::move(view_));
    }
    ArchiveView& operator*() const { return *view_; }
    ArchiveView* operator->() const { return view_.get(); }

   private:
    SharedArchive* archive_;
    std::unique_ptr<ArchiveView> view_;
  };
  // `source` may be empty if there is just one. Errors as of ArchiveView::Over.
  Result<Lease> TakeView(const std::string& source);
  // For who keeps it.
  Result<std::unique_ptr<ArchiveView>> OpenView(const std::string& source);

  // `source`, or if it is empty all of them.
  Result<std::vector<std::string>> SourceNames(const std::string& source) const;
  ArchiveDirectory& directory() { return directory_; }
  Index& index() { return index_; }
  std::optional<LiveState> LiveStateFor(const std::string& source);

 private:
  void GiveBack(std::unique_ptr<ArchiveView> view);

  ArchiveDirectory directory_;
  Index& index_;
  LiveStateOf live_state_;
  std::mutex mutex_;  // guards idle_
  std::map<std::string, std::vector<std::unique_ptr<ArchiveView>>> idle_;
};

}  // namespace tidemark::rpc
