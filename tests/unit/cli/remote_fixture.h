// A made-up archive, asked by its files and through an RpcServer in this process, whose streams may
// be made to break.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "pitr/local_archive.h"
#include "proto/rpc/rpc_server.h"
#include "tests/unit/services/service_fixture.h"
#include "tools/cli/remote_archive.h"

namespace tidemark::cli::testing {

using rpc::MessageStream;
using tidemark::testing::BuilderSet;
using tidemark::testing::History;
using tidemark::testing::KnownTransaction;

class RemoteArchiveTest : public ::testing::Test {
 protected:
  RemoteArchiveTest() { rpc::testing::BuildSome(&history_); }
  ~RemoteArchiveTest() override {
    if (server_) server_->Stop();
  }

  void Start() {
    services_ = std::make_unique<rpc::testing::Services>(history_);
    rpc::RpcServerOptions options;
    options.listeners = {{"unix:" + history_.dir.Path("rpc.sock")}};
    options.anonymous_role = rpc::Role::kRestorer;
    server_ = std::make_unique<rpc::RpcServer>(WithBreaks(services_->registry), options);
    const Status started = server_->Start();
    ASSERT_TRUE(started.ok()) << started.message();
  }
  rpc::RpcClientOptions Options() const {
    rpc::RpcClientOptions options;
    options.endpoint = "unix:" + history_.dir.Path("rpc.sock");
    options.retry.pause_min = options.retry.pause_max = std::chrono::milliseconds(1);
    return options;
  }
  std::unique_ptr<ArchiveAccess> Remote(const std::string& source = {}) {
    auto archive = RemoteArchive::Create(Options(), source, [this] { return interrupted_.load(); });
    EXPECT_TRUE(archive.ok());
    return std::move(*archive);
  }
  std::unique_ptr<ArchiveAccess> Local(const std::string& source = {}) {
    return std::make_unique<LocalArchive>(PosixFileSystem(), history_.dir.path(), source);
  }
  // Each stream from now on breaks behind so many messages; so often in all.
  void BreakStreams(int after, int times) {
    break_after_ = after;
    breaks_left_ = times;
  }

  History history_;
  std::atomic<bool> interrupted_ = false;
  std::atomic<int> break_after_ = 0;
  std::atomic<int> breaks_left_ = 0;
  std::atomic<int> streams_ = 0;

 private:
  class Breaking : public MessageStream {
   public:
    Breaking(RemoteArchiveTest& test, std::unique_ptr<MessageStream> stream)
        : test_(test), stream_(std::move(stream)), left_(test.break_after_) {}
    Result<State> Next(rpc::Message* message) override {
      if (left_ == 0 && test_.breaks_left_ > 0) {
        --test_.breaks_left_;
        return Status(Code::kSourceUnavailable, "broken by the test");
      }
      Result<State> next = stream_->Next(message);
      if (next.ok() && *next == State::kMessage && left_ > 0) --left_;
      return next;
    }

   private:
    RemoteArchiveTest& test_;
    const std::unique_ptr<MessageStream> stream_;
    int left_;
  };

  rpc::ServiceRegistry WithBreaks(const rpc::ServiceRegistry& whole) {
    rpc::ServiceRegistry registry;
    for (const auto* method : {ArchiveMethod("GetStatus"), StreamMethod("StreamEvents")}) {
      const auto* service = method->service();
      for (int i = 0; i < service->method_count(); ++i) {
        const auto* descriptor = service->method(i);
        const auto* found = whole.Find(service->full_name() + "/" + descriptor->name());
        if (found->unary) {
          registry.AddUnary(descriptor, found->role, found->audited, found->unary);
          continue;
        }
        registry.AddStream(
            descriptor, found->role, found->audited,
            [this, open = found->stream](
                const rpc::CallContext& context,
                const rpc::Message& request) -> Result<std::unique_ptr<MessageStream>> {
              TM_ASSIGN_OR_RETURN(auto stream, open(context, request));
              ++streams_;
              return std::unique_ptr<MessageStream>(
                  std::make_unique<Breaking>(*this, std::move(stream)));
            });
      }
    }
    return registry;
  }

  std::unique_ptr<rpc::testing::Services> services_;
  std::unique_ptr<rpc::RpcServer> server_;
};

}  // namespace tidemark::cli::testing
