#include "tools/cli/resumable_stream.h"

#include <thread>

namespace tidemark::cli {

using std::chrono::steady_clock;

Result<bool> ResumableStream::TryNext(rpc::Message* message) {
  if (!stream_) {
    const std::unique_ptr<rpc::Message> request = request_();
    rpc::CallOptions options;
    options.silence_max = kSilenceMax;
    options.interrupted = interrupted_;
    TM_ASSIGN_OR_RETURN(stream_, client_.OpenStream(method_, *request, options));
    begun_ = true;
  }
  return stream_->Next(message);
}

// Until it is to be tried again.
Status ResumableStream::Pause() const {
  for (const auto until = steady_clock::now() + kResumePause; steady_clock::now() < until;) {
    if (interrupted_ && interrupted_())
      return Status(Code::kInterrupted, "interrupted while waiting for the server");
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return OkStatus();
}

Result<bool> ResumableStream::Next(rpc::Message* message) {
  steady_clock::time_point broken;
  for (int attempt = 0;; ++attempt) {
    Result<bool> next = TryNext(message);
    if (next.ok()) return next;
    stream_.reset();
    if (next.error().code() != Code::kSourceUnavailable || !begun_) return next;
    if (attempt == 0) {
      broken = steady_clock::now();  // what has just worked is tried again at once
      continue;
    }
    if (steady_clock::now() - broken >= patience_) return next;
    TM_RETURN_IF_ERROR(Pause());
  }
}

}  // namespace tidemark::cli
