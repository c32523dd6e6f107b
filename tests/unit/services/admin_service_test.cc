#include "tools/rpc/admin_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "tests/unit/services/service_fixture.h"
#include "tidemark/v1/admin_service.pb.h"

namespace tidemark::rpc {
namespace {

using testing::BuilderSet;
using testing::Drain;
using ::testing::HasSubstr;
using testing::History;
using testing::Sent;

// Remembers what it was told, and answers as the test says.
class FakeControls : public DaemonControls {
 public:
  Result<Paused> Pause(const std::string& source, const OperatorNote& note,
                       const GiveUp&) override {
    told.push_back("pause " + source);
    if (!error.ok()) return error;
    if (!paused) {
      paused = note;
      return Paused{note, false};
    }
    return Paused{*paused, true};
  }
  Result<bool> Resume(const std::string& source, const GiveUp&) override {
    told.push_back("resume " + source);
    if (!error.ok()) return error;
    return std::exchange(paused, std::nullopt).has_value();
  }
  Result<SealAnswer> Seal(const std::string& source, const GiveUp& give_up) override {
    told.push_back("seal " + source);
    if (give_up()) return Status(Code::kInterrupted, "gave up");
    if (!error.ok()) return error;
    return SealAnswer{7, false};
  }
  Result<std::unique_ptr<IndexRebuilding>> RebuildIndex() override {
    told.push_back("rebuild");
    if (!error.ok()) return error;
    class Scripted : public IndexRebuilding {
     public:
      explicit Scripted(FakeControls& controls) : controls_(controls) {}
      ~Scripted() override { ++controls_.given_up; }
      Result<Progress> Look() override {
        Result<Progress> next = controls_.looks.front();
        controls_.looks.pop_front();
        return next;
      }

     private:
      FakeControls& controls_;
    };
    return std::unique_ptr<IndexRebuilding>(std::make_unique<Scripted>(*this));
  }

  std::vector<std::string> told;
  std::optional<OperatorNote> paused;
  Status error;
  std::deque<Result<IndexRebuilding::Progress>> looks;
  int given_up = 0;
};

class AdminService : public ::testing::Test {
 protected:
  AdminService() {
    history_.BeginFile("binlog.000001");
    history_.AddMany(10);
    history_.Gap(3);
    history_.BeginFile("binlog.000002");
    history_.AddMany(2);
    history_.builder.Publish();
    archive_.emplace(PosixFileSystem(), history_.dir.path(), history_.builder.index());
    AddAdminService(*archive_, controls_, &registry_);
    context_.identity = "ops";
  }
  template <typename Response, typename Request>
  Result<Response> Call(const std::string& method, const Request& request) {
    Response response;
    Status status = registry_.Find("tidemark.v1.AdminService/" + method)
                        ->unary(context_, Sent(request), &response);
    if (!status.ok()) return status;
    return Sent(response);
  }
  Result<v1::AcknowledgeGapResponse> Acknowledge(const std::string& gtids,
                                                 const std::string& by = {},
                                                 const std::string& reason = "INC-4711") {
    v1::AcknowledgeGapRequest request;
    request.set_gtids(gtids);
    request.set_by(by);
    request.set_reason(reason);
    return Call<v1::AcknowledgeGapResponse>("AcknowledgeGap", request);
  }

  History history_;
  std::optional<SharedArchive> archive_;
  FakeControls controls_;
  ServiceRegistry registry_;
  CallContext context_;
};

TEST_F(AdminService, EveryMethodIsForAdminsAndAudited) {
  const auto* service =
      v1::PauseSourceRequest::descriptor()->file()->FindServiceByName("AdminService");
  for (int i = 0; i < service->method_count(); ++i) {
    const auto* method = registry_.Find(service->full_name() + "/" + service->method(i)->name());
    ASSERT_NE(method, nullptr) << service->method(i)->name();
    EXPECT_EQ(method->role, Role::kAdmin) << service->method(i)->name();
    EXPECT_TRUE(method->audited) << service->method(i)->name();
  }
}

TEST_F(AdminService, APauseNamesWhoAskedWhateverTheySayOfThemselves) {
  v1::PauseSourceRequest request;
  request.set_reason("maintenance");
  request.set_by("alice");
  const auto first = Call<v1::PauseSourceResponse>("PauseSource", request);
  ASSERT_TRUE(first.ok()) << first.error().message();
  EXPECT_EQ(first->source(), "main");
  EXPECT_EQ(first->paused().by(), "alice (ops)");
  EXPECT_EQ(first->paused().reason(), "maintenance");
  EXPECT_GT(first->paused().at_us(), 0);
  EXPECT_FALSE(first->was_paused());
  request.clear_by();
  request.set_reason("again");
  const auto second = Call<v1::PauseSourceResponse>("PauseSource", request);
  ASSERT_TRUE(second.ok());
  EXPECT_TRUE(second->was_paused());
  EXPECT_EQ(second->paused().reason(), "maintenance") << "the pause that holds";
  v1::ResumeSourceRequest resume;
  EXPECT_TRUE(Call<v1::ResumeSourceResponse>("ResumeSource", resume)->was_paused());
  EXPECT_FALSE(Call<v1::ResumeSourceResponse>("ResumeSource", resume)->was_paused());
}

TEST_F(AdminService, ANoteWithoutReasonOrWithTwoLinesTouchesNothing) {
  v1::PauseSourceRequest request;
  EXPECT_EQ(Call<v1::PauseSourceResponse>("PauseSource", request).error().code(), Code::kUsage);
  request.set_reason("one\ntwo");
  EXPECT_EQ(Call<v1::PauseSourceResponse>("PauseSource", request).error().code(), Code::kUsage);
  const std::string missing = BuilderSet(11, 13).ToString();
  EXPECT_EQ(Acknowledge(missing, "", "").error().code(), Code::kUsage);
  EXPECT_EQ(Acknowledge(missing, "a\nby = b").error().code(), Code::kUsage);
  EXPECT_TRUE(controls_.told.empty());
  EXPECT_TRUE(archive_->TakeView("main").value()->ComputeCoverage().acknowledged.empty());
}

TEST_F(AdminService, ASourceThatIsNotThereIsNotFoundBeforeAnythingIsDone) {
  v1::PauseSourceRequest pause;
  pause.set_source("elsewhere");
  pause.set_reason("r");
  EXPECT_EQ(Call<v1::PauseSourceResponse>("PauseSource", pause).error().code(), Code::kNotFound);
  v1::SealSegmentRequest seal;
  seal.set_source("../main");
  EXPECT_EQ(Call<v1::SealSegmentResponse>("SealSegment", seal).error().code(), Code::kUsage);
  EXPECT_TRUE(controls_.told.empty());
}

TEST_F(AdminService, ASealSaysWhichSegmentAndACancelledOneEnds) {
  const auto sealed = Call<v1::SealSegmentResponse>("SealSegment", v1::SealSegmentRequest());
  ASSERT_TRUE(sealed.ok());
  EXPECT_EQ(sealed->segment(), 7u);
  EXPECT_FALSE(sealed->was_sealed());
  context_.cancelled = [] { return true; };
  EXPECT_EQ(Call<v1::SealSegmentResponse>("SealSegment", v1::SealSegmentRequest()).error().code(),
            Code::kInterrupted);
}

TEST_F(AdminService, ErrorsOfTheDaemonAreTheCallersErrors) {
  controls_.error = Status(Code::kDiskFull, "no room", "make some");
  v1::PauseSourceRequest request;
  request.set_reason("r");
  const auto answer = Call<v1::PauseSourceResponse>("PauseSource", request);
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code(), Code::kDiskFull);
  EXPECT_EQ(answer.error().hint(), "make some");
}

TEST_F(AdminService, AnAcknowledgementIsInTheAnswerAndInEveryLaterView) {
  const std::string some = BuilderSet(12, 13).ToString();
  const auto acknowledged = Acknowledge(some, "alice");
  ASSERT_TRUE(acknowledged.ok()) << acknowledged.error().message();
  EXPECT_EQ(acknowledged->source(), "main");
  EXPECT_EQ(acknowledged->added(), some);
  EXPECT_EQ(acknowledged->coverage().acknowledged(), some);
  ASSERT_EQ(acknowledged->coverage().acknowledgements_size(), 1);
  EXPECT_EQ(acknowledged->coverage().acknowledgements(0).note().by(), "alice (ops)");
  EXPECT_EQ(acknowledged->coverage().gaps_size(), 1);
  EXPECT_EQ(archive_->TakeView("main").value()->ComputeCoverage().acknowledged.ToString(), some);
  const auto again = Acknowledge(some);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->added(), "");
  EXPECT_EQ(again->coverage().acknowledgements_size(), 1);
}

TEST_F(AdminService, WhatIsInNoGapIsInvalidAndNamed) {
  const auto strange = Acknowledge(BuilderSet(9, 12).ToString());
  ASSERT_FALSE(strange.ok());
  EXPECT_EQ(strange.error().code(), Code::kUsage);
  EXPECT_THAT(strange.error().message(), HasSubstr(BuilderSet(9, 10).ToString()));
  EXPECT_EQ(Acknowledge("nonsense").error().code(), Code::kUsage);
  EXPECT_EQ(Acknowledge("").error().code(), Code::kUsage);
}

TEST_F(AdminService, ARebuildGivesNewsUntilItIsDoneAndIsGivenUpWithTheStream) {
  using Progress = IndexRebuilding::Progress;
  controls_.looks = {Progress{}, Progress{1, 100, false}, Progress{1, 100, false},
                     Progress{2, 300, true}};
  const auto open = [&] {
    return registry_.Find("tidemark.v1.AdminService/RebuildIndex")
        ->stream(context_, v1::RebuildIndexRequest());
  };
  auto stream = open();
  ASSERT_TRUE(stream.ok());
  const auto drained = Drain<v1::RebuildIndexResponse>(**stream);
  ASSERT_TRUE(drained.ended.ok()) << drained.ended.error().message();
  EXPECT_EQ(*drained.ended, MessageStream::State::kEnd);
  ASSERT_EQ(drained.messages.size(), 2u);
  EXPECT_FALSE(drained.messages[0].done());
  EXPECT_TRUE(drained.messages[1].done());
  EXPECT_EQ(drained.messages[1].raw_bytes(), 300u);
  stream->reset();
  EXPECT_EQ(controls_.given_up, 1);

  controls_.looks = {Progress{1, 1, false}, Status(Code::kCorruption, "segment 3 is damaged")};
  stream = open();
  const auto failed = Drain<v1::RebuildIndexResponse>(**stream);
  EXPECT_EQ(failed.ended.error().code(), Code::kCorruption);
  controls_.error = Status(Code::kLocked, "already");
  EXPECT_EQ(open().error().code(), Code::kLocked);
}

}  // namespace
}  // namespace tidemark::rpc
