#include "replication/archive/space_reserve.h"

#include <utility>

namespace tidemark {
namespace {

std::string Mebibytes(uint64_t bytes) {
  return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB";
}

}  // namespace

SpaceReserve::SpaceReserve(FileSystem& files, std::string archive_root, uint64_t bytes)
    : files_(files),
      root_(std::move(archive_root)),
      path_(JoinPath(root_, "reserve")),
      bytes_(bytes),
      given_up_(bytes > 0) {}

Status SpaceReserve::Open() {
  std::lock_guard lock(mutex_);
  TM_RETURN_IF_ERROR(Look());
  TM_RETURN_IF_ERROR(RemoveIfThere(path_ + ".new"));
  return Settle();
}

Status SpaceReserve::Resize(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  bytes_ = bytes;
  return Settle();
}

Status SpaceReserve::Keep() {
  std::lock_guard lock(mutex_);
  if (!known_) TM_RETURN_IF_ERROR(Look());
  if (bytes_ == 0) return Drop();
  if (held_ > 0) return OkStatus();
  const Status made = Make();
  return given_up_ ? made : OkStatus();
}

bool SpaceReserve::GiveUp() {
  std::lock_guard lock(mutex_);
  if (held_ == 0 || !Empty().ok()) return false;
  given_up_ = true;
  return true;
}

Status SpaceReserve::RemoveIfThere(const std::string& path) {
  return files_.Exists(path) ? files_.Remove(path) : OkStatus();
}

// One that cannot be looked at may have been given up: archiving waits until it can be.
Status SpaceReserve::Look() {
  held_ = 0;
  given_up_ = true;
  if (files_.Exists(path_)) {
    TM_ASSIGN_OR_RETURN(const auto file, files_.Open(path_, OpenMode::kRead));
    TM_ASSIGN_OR_RETURN(held_, file->Size());
    given_up_ = held_ == 0;
  } else {
    given_up_ = false;
  }
  known_ = true;
  return OkStatus();
}

// Brings the file to what it shall be. One that is there and cannot grow stays what it is.
Status SpaceReserve::Settle() {
  if (bytes_ == 0) return Drop();
  if (held_ == bytes_) return OkStatus();
  if (held_ < bytes_) return Make();
  TM_ASSIGN_OR_RETURN(const auto file, files_.Open(path_, OpenMode::kReadWrite));
  TM_RETURN_IF_ERROR(file->Truncate(bytes_));
  TM_RETURN_IF_ERROR(file->DataSync());
  held_ = bytes_.load();
  return OkStatus();
}

Status SpaceReserve::Make() {
  const std::string temporary = path_ + ".new";
  TM_RETURN_IF_ERROR(RemoveIfThere(temporary));  // of a making that was interrupted
  TM_ASSIGN_OR_RETURN(const uint64_t free, files_.FreeBytes(root_));
  // One that is there counts: it goes when the new one is made. Not before.
  if (free < NeededBytes(bytes_))
    return Status(Code::kDiskFull,
                  (given_up_ ? "the disk was full and the space reserve given up: "
                             : "there is no room for the space reserve: ") +
                      Mebibytes(free) + " are free",
                  Mebibytes(NeededBytes(bytes_)) + " must be on the file system that holds " +
                      root_ + (given_up_ ? ": then archiving goes on by itself" : ""));
  const Status made = MakeNew(temporary);
  if (!made.ok()) {
    (void)RemoveIfThere(temporary);
    return made;
  }
  held_ = bytes_.load();
  given_up_ = false;
  return OkStatus();
}

Status SpaceReserve::MakeNew(const std::string& temporary) {
  {
    TM_ASSIGN_OR_RETURN(const auto file, files_.Open(temporary, OpenMode::kCreateNew));
    TM_RETURN_IF_ERROR(file->Allocate(bytes_));
    TM_RETURN_IF_ERROR(file->DataSync());
  }
  TM_RETURN_IF_ERROR(files_.Rename(temporary, path_));
  (void)files_.SyncDirectory(root_);  // else a power cut may leave the state before
  return OkStatus();
}

Status SpaceReserve::Drop() {
  held_ = 0;
  given_up_ = false;
  if (!files_.Exists(path_)) return OkStatus();
  TM_RETURN_IF_ERROR(files_.Remove(path_));
  return files_.SyncDirectory(root_);
}

// Only its bytes: that it is there and empty is what says that it was given up. A full disk takes
// no new name for that.
Status SpaceReserve::Empty() {
  TM_ASSIGN_OR_RETURN(const auto file, files_.Open(path_, OpenMode::kReadWrite));
  TM_RETURN_IF_ERROR(file->Truncate(0));
  held_ = 0;
  // Blocks are given back when that is written down. If it cannot be, they may be free all the
  // same.
  (void)file->DataSync();
  return OkStatus();
}

}  // namespace tidemark
