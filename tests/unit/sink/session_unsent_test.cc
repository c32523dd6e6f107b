// A source that leaves out more than it was asked to, because the request was damaged on its way:
// not one transaction may go missing in silence.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/sink/session_fixture.h"

namespace tidemark {
namespace {

using testing::BuilderGtid;
using ::testing::HasSubstr;
using testing::SessionTest;

TEST_F(SessionTest, TheNextFilesPreviousGtidsNameWhatWasNotSent) {
  server_.Commit(5);
  server_.Rotate();
  server_.Commit(1);
  Start();
  Connect();
  DumpRequest request = ByGtid();
  request.exclude.Add(BuilderGtid(3));
  request.exclude.Add(BuilderGtid(4));
  const Status status = Feed(server_.Dump(request));
  EXPECT_EQ(status.code(), Code::kGap) << status.message();
  EXPECT_THAT(status.message(), HasSubstr(":3-4"));
  EXPECT_EQ(session_->unsent().Count(), 2u);
  EXPECT_FALSE(session_->resume().executed.Contains(BuilderGtid(6)))
      << "nothing behind the gap is archived before somebody has decided";
}

TEST_F(SessionTest, ADumpThatBeginsBehindWhatIsArchivedIsRefused) {
  server_.Commit(2);
  Start();
  Connect();
  ASSERT_TRUE(Feed(server_.Dump(ByGtid())).ok());
  session_->OnDisconnected();
  server_.Commit(2);
  const uint64_t archived = session_->resume().place.position;
  Connect();
  const Status status = Feed(server_.Dump(From(0, server_.files[0].transactions[3].begin)));
  EXPECT_EQ(status.code(), Code::kCorruption) << status.message();
  EXPECT_EQ(session_->resume().place.position, archived);
  Connect();
  EXPECT_TRUE(Feed(server_.Dump(From(0, archived))).ok());
}

}  // namespace
}  // namespace tidemark
