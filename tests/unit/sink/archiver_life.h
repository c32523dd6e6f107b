// One daemon's life on a model source and a faulty disk, for the archiver's tests.
#pragma once

#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <random>
#include <thread>

#include "replication/sink/source_archiver.h"
#include "tests/unit/sink/sink_fixture.h"

namespace tidemark::testing {

// One daemon's life on an archive; what was announced survives it in `listener`. Waits between
// tries begin with a microsecond.
class Life {
 public:
  Life(FaultyFiles& files, CheckingListener& listener, ModelServer& server,
       ArchiverOptions options = {}, int64_t backoff_us_max = 100)
      : archive_(files, kArchive) {
    options.source = kSource;
    options.server_id = 9;
    options.heartbeat_us = 1000;  // a ModelSource sends them so often
    options.backoff_us_min = 1;
    options.backoff_us_max = backoff_us_max;
    auto source = std::make_unique<ModelSource>(server);
    source_ = source.get();
    archiver_ = std::make_unique<SourceArchiver>(archive_, std::move(source), SystemClock(),
                                                 listener, options);
  }
  ~Life() { (void)Stop(); }

  Status Start() {
    TM_RETURN_IF_ERROR(archiver_->Prepare());
    thread_ = std::thread([this] { result_ = archiver_->Run(); });
    return OkStatus();
  }
  Status Stop() {
    if (!thread_.joinable()) return OkStatus();
    archiver_->Stop();
    thread_.join();
    return result_;
  }
  Status Once() {
    TM_RETURN_IF_ERROR(archiver_->Prepare());
    return archiver_->RunOnce();
  }
  // False after a while.
  bool WaitForError(Code code) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (archiver_->status().last_error.code() != code) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::yield();
    }
    return true;
  }
  ModelSource& source() { return *source_; }
  SourceArchiver& archiver() { return *archiver_; }

 private:
  ArchiveDirectory archive_;
  ModelSource* source_ = nullptr;
  std::unique_ptr<SourceArchiver> archiver_;
  std::thread thread_;
  Status result_;
};

class ArchiverTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { spdlog::set_level(spdlog::level::off); }
  FaultyFiles files_;
  CheckingListener listener_{files_};
  ModelServer server_;
};

}  // namespace tidemark::testing
