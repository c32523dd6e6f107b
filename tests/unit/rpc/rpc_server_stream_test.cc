// Server streams over real sockets: their end, their pace, and their waiting.
#include <gmock/gmock.h>

#include "proto/rpc/compression.h"
#include "tests/support/sanitized.h"
#include "tests/unit/rpc/rpc_server_fixture.h"

namespace tidemark::testing {
namespace {

using rpc::RpcCode;
using ::testing::ElementsAre;

class RpcStreamTest : public RpcServerTest {
 protected:
  // Of a stream's body: how it ended.
  static std::optional<rpc::RpcError> EndOf(const std::string& body) {
    const std::vector<std::string> payloads = Payloads(body);
    EXPECT_FALSE(payloads.empty());
    if (payloads.empty()) return std::nullopt;
    const auto end = rpc::DecodeEndStream(payloads.back());
    EXPECT_TRUE(end.ok()) << payloads.back();
    return end.ok() ? *end : std::nullopt;
  }
};

TEST_F(RpcStreamTest, SendsEnvelopesAndAnEnd) {
  Start();
  const WireAnswer answer = Ask(PostStream("3"));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.at("content-type"), "application/connect+json");
  EXPECT_THAT(Payloads(answer.body), ElementsAre("\"0\"", "\"1\"", "\"2\"", "{}"));
  EXPECT_EQ(server_->Counters().stream_messages.at("test.v1.Echo/Follow"), 3u);
}

TEST_F(RpcStreamTest, TheConnectionServesAnotherCallAfterwards) {
  Start();
  WireClient client(address_);
  client.Send(PostStream("1") + Post("Get", "\"next\""));
  EXPECT_THAT(Payloads(client.ReadAnswer().body), ElementsAre("\"0\"", "{}"));
  EXPECT_EQ(client.ReadAnswer().body, "\"next\"");
}

TEST_F(RpcStreamTest, HttpOneDotZeroGetsItWithoutChunks) {
  Start();
  std::string request = PostStream("2");
  request.replace(request.find("HTTP/1.1"), 8, "HTTP/1.0");
  WireClient client(address_);
  client.Send(request);
  EXPECT_THAT(Payloads(client.ReadAnswer().body), ElementsAre("\"0\"", "\"1\"", "{}"));
}

TEST_F(RpcStreamTest, AnErrorIsInTheEnd) {
  Start();
  const WireAnswer failed = Ask(PostStream("fail"));
  EXPECT_EQ(failed.status, 200);
  EXPECT_EQ(Payloads(failed.body).size(), 2u);
  const auto error = EndOf(failed.body);
  ASSERT_TRUE(error);
  EXPECT_EQ(ToStatus(*error).code(), Code::kGap);
  EXPECT_EQ(ToStatus(*error).hint(), "acknowledge it");
  EXPECT_EQ(EndOf(Ask(PostStream("missing")).body)->code, RpcCode::kNotFound);
  EXPECT_EQ(EndOf(Ask(PostStream("throw")).body)->code, RpcCode::kInternal);
  EXPECT_EQ(EndOf(Ask(PostStream("1", "Connect-Protocol-Version: 2\r\n")).body)->code,
            RpcCode::kInvalidArgument);
  EXPECT_EQ(EndOf(Ask(PostStream("1", "Connect-Content-Encoding: br\r\n")).body)->code,
            RpcCode::kUnimplemented);
}

TEST_F(RpcStreamTest, TheRequestIsExactlyOneMessage) {
  Start();
  const std::string type = "Content-Type: application/connect+json\r\n";
  std::string two;
  rpc::AppendEnvelope(0, "\"1\"", &two);
  const std::string one = two;
  rpc::AppendEnvelope(0, "\"1\"", &two);
  EXPECT_EQ(EndOf(Ask(Post("Follow", "", type)).body)->code, RpcCode::kUnimplemented);
  EXPECT_EQ(EndOf(Ask(Post("Follow", two, type)).body)->code, RpcCode::kUnimplemented);
  EXPECT_EQ(EndOf(Ask(Post("Follow", one.substr(0, 6), type)).body)->code,
            RpcCode::kInvalidArgument);
  EXPECT_EQ(EndOf(Ask(Post("Follow", "\xff\x01\x02\x03\x04\x05", type)).body)->code,
            RpcCode::kInvalidArgument);
  EXPECT_EQ(EndOf(Ask(Post("Follow", std::string("\0\xff\0\0\0", 5), type)).body)->code,
            RpcCode::kResourceExhausted);
}

TEST_F(RpcStreamTest, MessagesAreCompressedAsTheClientAsks) {
  Start();
  WireClient client(address_);
  client.Send(PostStream("flood", "Connect-Accept-Encoding: zstd\r\n"));
  ASSERT_TRUE(client.ReceiveUntil("Connect-Content-Encoding: zstd\r\n"));
  client.ReadAnswer(/*head_only=*/true);
  rpc::EnvelopeReader reader(1 << 20);
  reader.Append(client.ReadChunk());
  const auto envelope = reader.Next();
  ASSERT_TRUE(envelope.ok() && *envelope);
  EXPECT_TRUE((*envelope)->compressed());
  EXPECT_EQ(rpc::Decompress(rpc::Compression::kZstd, (*envelope)->payload, 1 << 20)->size(), 1026u);
}

// Each Publish gives one message, however they fall against the stream's going to sleep.
TEST_F(RpcStreamTest, NoWakeUpIsLost) {
  options_.limits.tick = std::chrono::hours(1);
  Start();
  WireClient client(address_);
  client.Send(PostStream("topic"));
  ASSERT_TRUE(Eventually([&] { return streams_alive_ == 1; }));
  client.ReadAnswer(/*head_only=*/true);
  constexpr int kRounds = 2000;
  for (int round = 0; round < kRounds; ++round) {
    Publish();
    ASSERT_FALSE(client.ReadChunk().empty()) << "round " << round;
  }
}

TEST_F(RpcStreamTest, AWaitingStreamIsAskedAgainAfterATick) {
  options_.limits.tick = std::chrono::milliseconds(20);
  Start();
  WireClient client(address_);
  client.Send(PostStream("topic"));
  ASSERT_TRUE(Eventually([&] { return streams_alive_ == 1; }));
  client.ReadAnswer(/*head_only=*/true);
  ++published_;  // and no Notify
  EXPECT_FALSE(client.ReadChunk().empty());
}

TEST_F(RpcStreamTest, ADeadlineEndsAWaitingStream) {
  Start();
  const WireAnswer answer = Ask(PostStream("topic", "Connect-Timeout-Ms: 50\r\n"));
  EXPECT_EQ(EndOf(answer.body)->code, RpcCode::kDeadlineExceeded);
  EXPECT_EQ(streams_alive_, 0);
}

TEST_F(RpcStreamTest, ADeadlineEndsAStreamThatNeverWaits) {
  Start();
  const WireAnswer answer = Ask(PostStream("flood", "Connect-Timeout-Ms: 50\r\n"));
  EXPECT_EQ(EndOf(answer.body)->code, RpcCode::kDeadlineExceeded);
}

TEST_F(RpcStreamTest, AClientThatLeavesEndsItsStream) {
  Start();
  {
    WireClient client(address_);
    client.Send(PostStream("topic"));
    ASSERT_TRUE(Eventually([&] { return server_->Counters().active_streams == 1; }));
  }
  EXPECT_TRUE(Eventually([&] { return streams_alive_ == 0; }));
  EXPECT_TRUE(Eventually([&] { return server_->Counters().connections == 0; }));
}

TEST_F(RpcStreamTest, AClientThatStopsReadingIsNotMadeMessagesForAndClosedInTheEnd) {
  options_.limits.stalled_max = std::chrono::milliseconds(300);
  Start();
  WireClient client(address_);
  client.Send(PostStream("flood"));
  ASSERT_TRUE(Eventually([&] { return flooded_ > 0; }));
  EXPECT_TRUE(Eventually([&] { return streams_alive_ == 0; }));
  // What the two sockets hold, and no more.
  EXPECT_LT(flooded_ * 1024, 64u << 20);
}

TEST_F(RpcStreamTest, MoreStreamsThanAllowedAreResourceExhausted) {
  options_.limits.streams_max = 1;
  Start();
  WireClient client(address_);
  client.Send(PostStream("topic"));
  ASSERT_TRUE(Eventually([&] { return server_->Counters().active_streams == 1; }));
  EXPECT_EQ(EndOf(Ask(PostStream("1")).body)->code, RpcCode::kResourceExhausted);
}

TEST_F(RpcStreamTest, StopEndsStreamsWithUnavailable) {
  Start();
  WireClient client(address_);
  client.Send(PostStream("topic"));
  ASSERT_TRUE(Eventually([&] { return streams_alive_ == 1; }));
  server_->Stop();
  EXPECT_EQ(EndOf(client.ReadAnswer().body)->code, RpcCode::kUnavailable);
  EXPECT_EQ(streams_alive_, 0);
}

long ResidentKilobytes() {
  FILE* file = std::fopen("/proc/self/statm", "r");
  long total = 0;
  long resident = 0;
  EXPECT_EQ(std::fscanf(file, "%ld %ld", &total, &resident), 2);
  std::fclose(file);
  return resident * (::sysconf(_SC_PAGESIZE) / 1024);
}

// A thousand of them may cost 100 MiB; both ends are counted here.
TEST_F(RpcStreamTest, AnIdleStreamCostsLessThan100KiB) {
  if (testing::kSanitized) GTEST_SKIP() << "memory under a sanitizer says nothing";
  options_.limits.strangers_max = 1100;
  Start();
  const long before = ResidentKilobytes();
  std::vector<std::unique_ptr<WireClient>> clients;
  for (int i = 0; i < 400; ++i) {  // descriptors are two each, and 1024 may be all there are
    clients.push_back(std::make_unique<WireClient>(address_));
    clients.back()->Send(PostStream("topic"));
  }
  ASSERT_TRUE(Eventually([&] { return streams_alive_ == 400; }));
  Publish();
  for (const auto& client : clients) {
    client->ReadAnswer(/*head_only=*/true);
    EXPECT_FALSE(client->ReadChunk().empty());
  }
  const long each = (ResidentKilobytes() - before) / 400;
  RecordProperty("kilobytes_each", std::to_string(each));
  EXPECT_LT(each, 100);
}

}  // namespace
}  // namespace tidemark::testing
