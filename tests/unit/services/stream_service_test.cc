#include "tools/rpc/stream_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "pitr/event_stream.h"
#include "tests/support/seed.h"
#include "tests/unit/services/service_fixture.h"
#include "tools/rpc/convert.h"
#include "tools/rpc/range_reader.h"

namespace tidemark::rpc {
namespace {

using testing::BuilderSet;
using testing::BuildSome;
using testing::Drain;
using testing::Drained;
using ::testing::HasSubstr;
using testing::History;
using testing::KnownTransaction;
using testing::Services;

using State = MessageStream::State;
using Events = v1::StreamEventsResponse;
using Transactions = v1::StreamTransactionsResponse;

v1::StreamEventsRequest UpToLatest() {
  v1::StreamEventsRequest request;
  request.mutable_range()->mutable_target()->set_latest(true);
  return request;
}

std::string DataOf(const std::vector<Events>& messages) {
  std::string data;
  for (const Events& message : messages) data += message.data();
  return data;
}

// What `pitr export` writes.
std::string Exported(Services& services, const StreamRange& range) {
  auto view = services.archive.OpenView("main");
  EXPECT_TRUE(view.ok());
  std::string bytes;
  Status status = EventStream(**view).WriteRange(
      range,
      [&bytes](Bytes piece) {
        bytes.append(AsText(piece));
        return OkStatus();
      },
      nullptr);
  EXPECT_TRUE(status.ok()) << status.message();
  return bytes;
}

Drained<Events> DrainEvents(Services& services, const v1::StreamEventsRequest& request) {
  auto stream = services.Open("StreamService/StreamEvents", request);
  EXPECT_TRUE(stream.ok()) << stream.error().message();
  return Drain<Events>(**stream);
}

TEST(StreamEvents, IsWhatExportWrites) {
  History history;
  BuildSome(&history);
  Services services(history);
  const auto drained = DrainEvents(services, UpToLatest());
  ASSERT_TRUE(drained.ended.ok()) << drained.ended.error().message();
  EXPECT_EQ(*drained.ended, State::kEnd);
  EXPECT_TRUE(DataOf(drained.messages) == Exported(services, {}));
  GtidSet said;
  for (const Events& message : drained.messages) {
    EXPECT_LE(message.data().size(), kStreamChunkBytesMax);
    EXPECT_EQ(message.gtids().empty(), message.whole_bytes() == 0);
    const auto set = GtidSet::Parse(message.gtids());
    ASSERT_TRUE(set.ok());
    EXPECT_FALSE(said.Intersects(*set)) << "each transaction ends once";
    said.Add(*set);
  }
  EXPECT_EQ(said, history.builder.set());
}

TEST(StreamEvents, TargetExcludeAndOnlyAreHonoured) {
  History history;
  BuildSome(&history);
  Services services(history);
  v1::StreamEventsRequest request;
  request.mutable_range()->mutable_target()->set_through_gtid(history.all[199].gtid.ToString());
  request.mutable_range()->set_exclude(BuilderSet(1, 50).ToString());
  request.mutable_range()->set_only(BuilderSet(40, 220).ToString());
  const auto drained = DrainEvents(services, request);
  ASSERT_TRUE(drained.ended.ok());
  EXPECT_TRUE(DataOf(drained.messages) ==
              Exported(services, {.exclude = BuilderSet(1, 50), .include = BuilderSet(40, 200)}));
}

TEST(StreamEvents, ARangeWithNothingInItIsStillABinlog) {
  History history;
  BuildSome(&history);
  Services services(history);
  auto request = UpToLatest();
  request.mutable_range()->set_exclude(history.builder.set().ToString());
  const auto drained = DrainEvents(services, request);
  ASSERT_EQ(drained.messages.size(), 1u);
  EXPECT_EQ(drained.messages[0].data(), Exported(services, {.exclude = history.builder.set()}));
  request.mutable_range()->set_received(history.builder.set().ToString());
  EXPECT_TRUE(DrainEvents(services, request).messages.empty()) << "resumed at its end";
}

// A client that is cut off after any message, keeps what is whole, and comes back.
TEST(StreamEventsProperty, ResumedAnywhereGivesTheSameBytes) {
  History history;
  BuildSome(&history);
  Services services(history);
  const std::string whole = Exported(services, {});
  std::mt19937_64 random(tidemark::testing::TestSeed());
  for (int round = 0; round < 20; ++round) {
    std::string kept;
    GtidSet received;
    for (bool ended = false; !ended;) {
      auto request = UpToLatest();
      request.mutable_range()->set_received(received.ToString());
      auto stream = services.Open("StreamService/StreamEvents", request);
      ASSERT_TRUE(stream.ok()) << stream.error().message();
      const auto drained = Drain<Events>(**stream, 1 + random() % 25);
      ASSERT_TRUE(drained.ended.ok()) << drained.ended.error().message();
      ended = *drained.ended == State::kEnd;
      std::string got = kept;  // what came behind the last whole transaction was dropped
      for (const Events& message : drained.messages) {
        if (message.whole_bytes() > 0) kept = got + message.data().substr(0, message.whole_bytes());
        got += message.data();
        received.Add(*GtidSet::Parse(message.gtids()));
      }
    }
    ASSERT_TRUE(kept == whole) << kept.size() << " bytes, not " << whole.size();
  }
}

TEST(StreamEvents, FollowsTheArchiveAsItGrows) {
  History history;
  BuildSome(&history);
  Services services(history);
  v1::StreamEventsRequest request;
  request.mutable_range()->set_follow(true);
  auto stream = services.Open("StreamService/StreamEvents", request);
  ASSERT_TRUE(stream.ok()) << stream.error().message();
  EXPECT_EQ((*stream)->topic(), "main");
  std::string data;
  const auto take = [&] {
    const auto drained = Drain<Events>(**stream);
    EXPECT_TRUE(drained.ended.ok()) << drained.ended.error().message();
    EXPECT_EQ(*drained.ended, State::kWaiting);
    data += DataOf(drained.messages);
    return drained.messages.size();
  };
  EXPECT_GT(take(), 0u);
  EXPECT_EQ(take(), 0u) << "nothing has happened";
  history.AddMany(3);
  history.builder.Publish();
  EXPECT_EQ(take(), 1u);
  history.BeginFile("binlog.000003");
  history.AddMany(5);
  history.builder.Publish();
  EXPECT_EQ(take(), 1u);
  EXPECT_TRUE(data == Exported(services, {}));
}

TEST(RangeReader, HibernatesAndGoesOnAsIfItHadNot) {
  History history;
  BuildSome(&history);
  Services services(history);
  v1::StreamRange range;
  range.set_follow(true);
  auto opened = RangeReader::Open(services.archive, range, RangeReader::Resume::kInStream,
                                  std::chrono::milliseconds(0));
  ASSERT_TRUE(opened.ok()) << opened.error().message();
  RangeReader& reader = **opened;
  std::string data(AsText(kBinlogMagic));
  const auto take = [&] {
    for (;;) {
      StreamPiece piece;
      auto state = reader.Next(&piece);
      ASSERT_TRUE(state.ok()) << state.error().message();
      if (*state == RangeReader::State::kWaiting) break;
      if (*state == RangeReader::State::kPiece) data += AsText(piece.bytes);
    }
    EXPECT_TRUE(reader.hibernating());
  };
  take();
  take();
  for (int round = 0; round < 3; ++round) {
    history.AddMany(2);
    history.builder.Publish();
    take();
  }
  history.BeginFile("binlog.000003");
  history.Add();
  history.builder.Publish();
  take();
  EXPECT_TRUE(data == Exported(services, {})) << "no format description twice, nothing lost";
}

TEST(StreamEvents, WhatIsMissingIsAnErrorUnlessAllowed) {
  History history;
  BuildSome(&history);
  history.Gap(3, "purged early");
  history.BeginFile("binlog.000003");
  history.AddMany(2);
  history.builder.Publish();
  Services services(history);
  auto request = UpToLatest();
  auto refused = services.Open("StreamService/StreamEvents", request);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kGap);
  EXPECT_THAT(refused.error().message(), HasSubstr("purged early"));
  request.mutable_range()->set_allow_missing(true);
  EXPECT_TRUE(DataOf(DrainEvents(services, request).messages) == Exported(services, {}));
  request.mutable_range()->set_allow_missing(false);
  request.mutable_range()->mutable_target()->set_through_gtid(history.all[10].gtid.ToString());
  EXPECT_TRUE(DrainEvents(services, request).ended.ok()) << "the gap is behind the target";
}

TEST(StreamEvents, AGapThatComesWhileFollowingEndsTheStream) {
  History history;
  BuildSome(&history);
  Services services(history);
  v1::StreamEventsRequest request;
  request.mutable_range()->set_follow(true);
  auto stream = services.Open("StreamService/StreamEvents", request);
  ASSERT_TRUE(stream.ok());
  EXPECT_TRUE(Drain<Events>(**stream).ended.ok());
  history.Gap(3, "purged early");
  history.BeginFile("binlog.000003");
  history.AddMany(2);
  history.builder.Publish();
  const auto drained = Drain<Events>(**stream);
  ASSERT_FALSE(drained.ended.ok());
  EXPECT_EQ(drained.ended.error().code(), Code::kGap);
}

TEST(StreamEvents, AnArchiveThatBeginsLateNeedsTheBase) {
  History history;
  history.builder.StartBehind(BuilderSet(1, 10));
  history.next = 11;
  history.BeginFile("binlog.000001");
  history.AddMany(5);
  history.builder.Publish();
  Services services(history);
  auto request = UpToLatest();
  EXPECT_EQ(services.Open("StreamService/StreamEvents", request).error().code(),
            Code::kUnreachableTarget);
  request.mutable_range()->set_exclude(BuilderSet(1, 10).ToString());
  EXPECT_TRUE(DataOf(DrainEvents(services, request).messages) == Exported(services, {}));
}

TEST(StreamEvents, RequestsThatAreNoneAreRefused) {
  History history;
  BuildSome(&history);
  Services services(history);
  const auto code = [&](const v1::StreamEventsRequest& request) {
    return services.Open("StreamService/StreamEvents", request).error().code();
  };
  v1::StreamEventsRequest request;
  EXPECT_EQ(code(request), Code::kUsage) << "how far?";
  request.mutable_range()->set_follow(false);
  EXPECT_EQ(code(request), Code::kUsage);
  request = UpToLatest();
  request.mutable_range()->set_exclude("uuid:1-");
  EXPECT_EQ(code(request), Code::kUsage);
  request = UpToLatest();
  request.mutable_range()->set_source("other");
  EXPECT_EQ(code(request), Code::kNotFound);
}

TEST(StreamEvents, DamageEndsTheStreamWithItsPlace) {
  History history;
  BuildSome(&history);
  Services services(history);
  std::filesystem::resize_file(history.builder.SegmentPath(1), 2000);
  const auto drained = DrainEvents(services, UpToLatest());
  ASSERT_FALSE(drained.ended.ok());
  EXPECT_THAT(drained.ended.error().message(), HasSubstr(history.builder.SegmentPath(1)));
}

TEST(StreamEvents, EndsWhenTheCallIsCancelled) {
  History history;
  BuildSome(&history);
  Services services(history);
  bool cancelled = false;
  services.context.cancelled = [&cancelled] { return cancelled; };
  auto stream = services.Open("StreamService/StreamEvents", UpToLatest());
  ASSERT_TRUE(stream.ok());
  EXPECT_EQ(Drain<Events>(**stream, 1).messages.size(), 1u);
  cancelled = true;
  const auto drained = Drain<Events>(**stream);
  EXPECT_TRUE(drained.messages.empty());
  EXPECT_EQ(drained.ended.error().code(), Code::kInterrupted);
}

// What the parts of a stream are, put together.
struct Whole {
  std::vector<v1::TransactionPart> transactions;
  std::string stream;  // format descriptions and transactions, one after the other
  size_t parts = 0;
};

Whole PutTogether(const std::vector<Transactions>& messages) {
  Whole whole;
  bool open = false;
  for (const Transactions& message : messages) {
    whole.stream += message.format_description();
    size_t bytes = 0;
    for (const v1::TransactionPart& part : message.parts()) {
      ++whole.parts;
      bytes += part.data().size();
      whole.stream += part.data();
      if (part.offset() == 0) {
        EXPECT_FALSE(open) << "another begins before the one before has ended";
        whole.transactions.push_back(part);
      } else {
        v1::TransactionPart& begun = whole.transactions.back();
        EXPECT_TRUE(open);
        EXPECT_EQ(part.gtid(), begun.gtid());
        EXPECT_EQ(part.offset(), begun.data().size());
        begun.mutable_data()->append(part.data());
      }
      open = !part.last();
    }
    EXPECT_LE(bytes, kStreamChunkBytesMax + (8u << 10));
  }
  EXPECT_FALSE(open);
  return whole;
}

TEST(StreamTransactions, EachIsWhatTheSourceWroteWithItsTime) {
  History history;
  BuildSome(&history);
  Services services(history);
  v1::StreamTransactionsRequest request;
  request.mutable_range()->mutable_target()->set_latest(true);
  auto stream = services.Open("StreamService/StreamTransactions", request);
  ASSERT_TRUE(stream.ok()) << stream.error().message();
  const auto drained = Drain<Transactions>(**stream);
  ASSERT_TRUE(drained.ended.ok()) << drained.ended.error().message();
  EXPECT_EQ(*drained.ended, State::kEnd);
  const Whole whole = PutTogether(drained.messages);
  ASSERT_EQ(whole.transactions.size(), history.all.size());
  EXPECT_GT(whole.parts, history.all.size()) << "the long one came in parts";
  for (size_t i = 0; i < history.all.size(); ++i) {
    const KnownTransaction& known = history.all[i];
    const v1::TransactionPart& got = whole.transactions[i];
    EXPECT_EQ(got.gtid(), known.gtid.ToString());
    EXPECT_EQ(got.commit_time_us(), known.commit_us);
    EXPECT_EQ(got.source_file(), known.file);
    ASSERT_TRUE(got.data() ==
                history.builder.FileBytes(known.file).substr(known.begin, known.end - known.begin))
        << known.gtid.ToString();
  }
  EXPECT_TRUE(std::string(AsText(kBinlogMagic)) + whole.stream == Exported(services, {}));
}

TEST(StreamTransactions, ResumedItBeginsWithAFormatDescription) {
  History history;
  BuildSome(&history);
  Services services(history);
  v1::StreamTransactionsRequest request;
  request.mutable_range()->mutable_target()->set_latest(true);
  request.mutable_range()->set_received(BuilderSet(1, 100).ToString());
  auto stream = services.Open("StreamService/StreamTransactions", request);
  ASSERT_TRUE(stream.ok());
  const auto drained = Drain<Transactions>(**stream);
  ASSERT_FALSE(drained.messages.empty());
  EXPECT_FALSE(drained.messages[0].format_description().empty());
  const Whole whole = PutTogether(drained.messages);
  ASSERT_EQ(whole.transactions.size(), history.all.size() - 100);
  EXPECT_EQ(whole.transactions[0].gtid(), history.all[100].gtid.ToString());
}

Drained<v1::StreamSourceFileResponse> DrainFile(Services& services, const std::string& file,
                                                uint64_t offset) {
  v1::StreamSourceFileRequest request;
  request.set_file(file);
  request.set_offset(offset);
  auto stream = services.Open("StreamService/StreamSourceFile", request);
  EXPECT_TRUE(stream.ok()) << stream.error().message();
  return Drain<v1::StreamSourceFileResponse>(**stream);
}

TEST(StreamSourceFile, IsTheSourcesFileFromAnyByteOn) {
  History history;
  BuildSome(&history);
  Services services(history);
  const std::string& bytes = history.builder.FileBytes("binlog.000001");
  std::mt19937_64 random(tidemark::testing::TestSeed());
  for (const uint64_t offset : {uint64_t{0}, uint64_t{1}, random() % bytes.size(),
                                random() % bytes.size(), uint64_t{bytes.size()}}) {
    const auto drained = DrainFile(services, "binlog.000001", offset);
    ASSERT_TRUE(drained.ended.ok()) << drained.ended.error().message();
    std::string data;
    for (const auto& message : drained.messages) {
      EXPECT_LE(message.data().size(), kStreamChunkBytesMax);
      data += message.data();
    }
    ASSERT_TRUE(data == bytes.substr(offset)) << "from " << offset;
    ASSERT_FALSE(drained.messages.empty());
    EXPECT_EQ(drained.messages.back().end().position(), bytes.size());
    EXPECT_TRUE(drained.messages.back().end().complete());
  }
  EXPECT_FALSE(DrainFile(services, "binlog.000002", 0).messages.back().end().complete());
}

TEST(StreamSourceFile, WhatIsNotThereIsRefused) {
  History history;
  BuildSome(&history);
  Services services(history);
  v1::StreamSourceFileRequest request;
  request.set_file("binlog.000009");
  EXPECT_EQ(services.Open("StreamService/StreamSourceFile", request).error().code(),
            Code::kNotFound);
  request.set_file("binlog.000001");
  request.set_offset(history.builder.FileBytes("binlog.000001").size() + 1);
  EXPECT_EQ(services.Open("StreamService/StreamSourceFile", request).error().code(), Code::kUsage);
}

}  // namespace
}  // namespace tidemark::rpc
