// Performs a session's actions on strings, as the archiver does on files.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "replication/sink/session.h"
#include "tests/unit/sink/model_source.h"

namespace tidemark::testing {

struct PerformedSegment {
  SegmentHeader header;
  std::string raw;  // prefix included
  std::optional<SealReason> sealed;

  std::string own() const { return raw.substr(header.prefix_bytes); }
};

class SessionTest : public ::testing::Test {
 protected:
  void Start(ResumePoint resume = {}, SessionLimits limits = {}) {
    session_ = std::make_unique<Session>("main", std::move(resume), limits);
  }
  void Connect(const GapRecord& gap = {}) { Connect(server_.uuid, gap); }
  void Connect(const Uuid& uuid, const GapRecord& gap = {}) {
    session_->OnConnected(uuid, gap);
    scanner_ = std::make_unique<StreamScanner>(ScannerOptions{});
  }
  Status Feed(const std::string& packet) {
    ScannedEvent event;
    TM_RETURN_IF_ERROR(scanner_->FeedEvent(AsBytes(packet), &event));
    SessionAction action;
    TM_RETURN_IF_ERROR(session_->OnEvent(AsBytes(packet), event, &action));
    if (action.seal_before) Seal(*action.seal_before);
    if (action.begin) {
      EXPECT_TRUE(segments_.empty() || segments_.back().sealed);
      segments_.push_back(
          {action.begin->header, action.begin->prefix + action.begin->file_head, {}});
      EXPECT_EQ(action.begin->header.prefix_bytes, action.begin->prefix.size());
    }
    if (action.archive) {
      segments_.back().raw += packet;
      EXPECT_EQ(action.raw_end, segments_.back().raw.size());
    }
    if (action.seal_after) Seal(*action.seal_after);
    EXPECT_EQ(session_->segment_open(), !segments_.empty() && !segments_.back().sealed);
    return OkStatus();
  }
  Status Feed(const std::vector<std::string>& packets) {
    for (const std::string& packet : packets) TM_RETURN_IF_ERROR(Feed(packet));
    return OkStatus();
  }
  DumpRequest From(uint64_t file, uint64_t position) {
    DumpRequest request;
    request.exclude = session_->resume().executed;
    request.file = server_.files[file].name;
    request.position = position;
    return request;
  }
  DumpRequest ByGtid() {
    DumpRequest request;
    request.exclude = session_->resume().executed;
    return request;
  }
  void FeedAll() {
    const Status status = Feed(server_.Dump(ByGtid()));
    ASSERT_TRUE(status.ok()) << status.message();
  }
  void Seal(SealReason reason) {
    EXPECT_FALSE(segments_.back().sealed);
    segments_.back().sealed = reason;
  }

  ModelServer server_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<StreamScanner> scanner_;
  std::vector<PerformedSegment> segments_;
};

}  // namespace tidemark::testing
