#include "tools/audit_log.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tidemark/v1/stream_service.pb.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::ReadWholeFile;
using testing::TempDir;

constexpr int64_t kNow = 1'700'000'000'123'456;

class AuditLogTest : public ::testing::Test {
 protected:
  AuditLogTest() {
    context_.method = "tidemark.v1.StreamService/StreamEvents";
    context_.peer = "127.0.0.1:4711";
    context_.identity = "grafana";
    context_.role = rpc::Role::kReader;
    record_.context = &context_;
  }
  std::vector<nlohmann::json> Lines() const {
    std::vector<nlohmann::json> lines;
    std::istringstream text(ReadWholeFile(path_));
    for (std::string line; std::getline(text, line);)
      lines.push_back(nlohmann::json::parse(line, nullptr, false));
    return lines;
  }

  const TempDir directory_;
  const std::string path_ = directory_.Path("audit.log");
  rpc::CallContext context_;
  rpc::AuditRecord record_;
};

TEST_F(AuditLogTest, LineHasWhoWhatWhenAndHowItEnded) {
  v1::StreamEventsRequest request;
  request.mutable_range()->set_source("main");
  request.mutable_range()->set_follow(true);
  record_.request = &request;
  record_.duration = std::chrono::microseconds(42);
  EXPECT_EQ(
      AuditLine(record_, kNow),
      R"({"time":"2023-11-14T22:13:20.123456Z","identity":"grafana","role":"reader",)"
      R"("peer":"127.0.0.1:4711","method":"tidemark.v1.StreamService/StreamEvents",)"
      R"("outcome":"ok","duration_us":42,"request":{"range":{"source":"main","follow":true}}})");
  record_.error = rpc::RpcError{rpc::RpcCode::kNotFound, "no such \"source\"\n", {}};
  record_.request = nullptr;
  EXPECT_THAT(
      AuditLine(record_, kNow, 3),
      HasSubstr(R"("outcome":"not_found","message":"no such \"source\"\n","duration_us":42,)"
                R"("unrecorded":3})"));
  record_.begins = true;
  record_.error.reset();
  EXPECT_EQ(nlohmann::json::parse(AuditLine(record_, kNow))["outcome"], "begins");
}

TEST_F(AuditLogTest, LongRequestIsCutAndAHugeOneNotEvenWrittenOut) {
  v1::StreamEventsRequest request;
  request.mutable_range()->set_exclude(std::string(100'000, 'x'));
  record_.request = &request;
  const nlohmann::json cut = nlohmann::json::parse(AuditLine(record_, kNow));
  EXPECT_EQ(cut["request_begin"].get<std::string>().size(), kAuditRequestBytesMax);
  EXPECT_EQ(cut["request_bytes"], request.ByteSizeLong());
  EXPECT_FALSE(cut.contains("request"));
  request.mutable_range()->set_exclude(std::string(1 << 20, 'x'));
  const nlohmann::json huge = nlohmann::json::parse(AuditLine(record_, kNow));
  EXPECT_FALSE(huge.contains("request_begin"));
  EXPECT_EQ(huge["request_bytes"], request.ByteSizeLong());
  // Cut in the middle of a character, the line is JSON nevertheless.
  request.mutable_range()->set_exclude("x" + [] {
    std::string text;
    for (int i = 0; i < 5000; ++i) text += "ä";
    return text;
  }());
  EXPECT_TRUE(nlohmann::json::parse(AuditLine(record_, kNow), nullptr, false).is_object());
}

// There is no such request today: of one that comes, the secret must not be in the log.
TEST_F(AuditLogTest, FieldsNamedLikeASecretAreNotShownWhereverTheyAre) {
  namespace pb = google::protobuf;
  pb::FileDescriptorProto file;
  ASSERT_TRUE(pb::TextFormat::ParseFromString(R"(
      name: "secret.proto" syntax: "proto3"
      message_type { name: "M"
        field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
        field { name: "new_password" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
        field { name: "token" number: 3 type: TYPE_BYTES label: LABEL_REPEATED }
        field { name: "page_token" number: 4 type: TYPE_STRING label: LABEL_OPTIONAL }
        field { name: "one" number: 5 type: TYPE_MESSAGE type_name: ".M" label: LABEL_OPTIONAL }
        field { name: "many" number: 6 type: TYPE_MESSAGE type_name: ".M" label: LABEL_REPEATED }
      })",
                                              &file));
  pb::DescriptorPool pool;
  const pb::Descriptor* type = pool.BuildFile(file)->FindMessageTypeByName("M");
  pb::DynamicMessageFactory factory;
  const std::unique_ptr<pb::Message> request(factory.GetPrototype(type)->New());
  ASSERT_TRUE(pb::TextFormat::ParseFromString(R"(
      name: "seen" new_password: "hunter2" token: "hunter3" page_token: "page-9"
      one { new_password: "hunter4" one { token: "hunter5" } }
      many { name: "also-seen" } many { new_password: "hunter6" })",
                                              request.get()));
  record_.request = request.get();
  const std::string line = AuditLine(record_, kNow);
  EXPECT_THAT(line, Not(HasSubstr("hunter")));
  for (const char* shown : {"seen", "page-9", "also-seen", "(not shown)"})
    EXPECT_THAT(line, HasSubstr(shown));
  // It was not changed itself.
  EXPECT_THAT(request->DebugString(), HasSubstr("hunter2"));
}

TEST_F(AuditLogTest, AppendsWholeLinesFromManyThreadsToAFileOfItsOwn) {
  auto log = AuditLog::Open(path_);
  ASSERT_TRUE(log.ok()) << log.error().message();
  struct stat facts = {};
  ASSERT_EQ(::stat(path_.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777, 0600u);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int n = 0; n < 50; ++n) (*log)->Write(record_);
    });
  for (std::thread& thread : threads) thread.join();
  const auto lines = Lines();
  EXPECT_EQ(lines.size(), 200u);
  for (const nlohmann::json& line : lines) EXPECT_TRUE(line.is_object());
  // Another one appends.
  auto again = AuditLog::Open(path_);
  ASSERT_TRUE(again.ok());
  (*again)->Write(record_);
  EXPECT_EQ(Lines().size(), 201u);
}

TEST_F(AuditLogTest, RotatedFileIsBegunAgainAndAnErrorChangesNothing) {
  auto log = AuditLog::Open(path_);
  ASSERT_TRUE(log.ok());
  (*log)->Write(record_);
  ASSERT_EQ(::rename(path_.c_str(), (path_ + ".1").c_str()), 0);
  ASSERT_TRUE((*log)->Reopen(path_).ok());
  (*log)->Write(record_);
  EXPECT_EQ(Lines().size(), 1u);
  const Status refused = (*log)->Reopen(directory_.Path("no/such/audit.log"));
  EXPECT_EQ(refused.code(), Code::kUsage);
  EXPECT_THAT(refused.message(), HasSubstr("no/such/audit.log"));
  (*log)->Write(record_);
  EXPECT_EQ(Lines().size(), 2u);
}

TEST_F(AuditLogTest, WhatIsNoFileIsRefusedWithoutHanging) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(AuditLog::Check(path_).code(), Code::kUsage);
  EXPECT_FALSE(AuditLog::Open(path_).ok());
  EXPECT_FALSE(AuditLog::Check(directory_.Path("no/such")).ok());
  EXPECT_FALSE(AuditLog::Check(path_ + "/below").ok());
  EXPECT_TRUE(AuditLog::Check(directory_.Path("fresh")).ok());
  EXPECT_FALSE(std::filesystem::exists(directory_.Path("fresh")));
  EXPECT_TRUE(AuditLog::Check("").ok());
}

TEST_F(AuditLogTest, StrangersCannotFillTheDisk) {
  auto log = AuditLog::Open(path_);
  ASSERT_TRUE(log.ok());
  record_.error = rpc::RpcError{rpc::RpcCode::kUnauthenticated, "the token is not valid", {}};
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < 10'000; ++i) (*log)->Write(record_);
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - began)
          .count();
  EXPECT_LE(Lines().size(), static_cast<size_t>(seconds + 2) * kAuditStrangersPerSecondMax);
  // Those who are known are all there, and with the first it says how many were not.
  record_.error.reset();
  const size_t before = Lines().size();
  (*log)->Write(record_);
  (*log)->Write(record_);
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), before + 2);
  uint64_t recorded = 0, unrecorded = 0;
  for (const nlohmann::json& line : lines) {
    unrecorded += line.value("unrecorded", uint64_t{0});
    recorded += line["outcome"] == "unauthenticated";
  }
  EXPECT_EQ(recorded + unrecorded, 10'000u);
  EXPECT_FALSE(lines.back().contains("unrecorded"));
}

}  // namespace
}  // namespace tidemark
