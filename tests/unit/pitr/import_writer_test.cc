// Whom the archive knows for a file's writer. With files, and gaps to fill: import_test.cc.
#include "pitr/import_writer.h"

#include <gtest/gtest.h>

#include "tests/unit/pitr/history.h"

namespace tidemark {
namespace {

using testing::BuilderUuid;
using testing::History;
using testing::kBuilderServerId;

const Uuid kPromoted = *Uuid::Parse("bbbbbbbb-0000-0000-0000-000000000002");
const Uuid kUnheardOf = *Uuid::Parse("cccccccc-0000-0000-0000-000000000003");

TEST(KnownServers, OneThatCommittedNothingYetIsKnownByItsFilesOnly) {
  History history;
  history.BeginFile("binlog.000001");
  history.AddMany(3);
  history.builder.FromServer(kPromoted);
  history.BeginFile("binlog.000002");
  history.builder.Finish();
  const auto view = history.Open();
  ASSERT_EQ(view->segments().back().header.server_uuid, kPromoted);
  ASSERT_EQ(view->segments().back().transactions, 0u);
  const auto servers = KnownServers::Of(*view);
  ASSERT_TRUE(servers.ok()) << servers.error().message();
  const auto writer = [&](const Uuid& own_origin) {
    const auto found =
        servers->WriterOf("binlog.000001", kBuilderServerId, own_origin, std::nullopt);
    EXPECT_TRUE(found.ok()) << found.error().message();
    return found.ok() ? *found : std::nullopt;
  };
  EXPECT_EQ(writer(BuilderUuid()), BuilderUuid());
  EXPECT_EQ(writer(kPromoted), kPromoted);
  EXPECT_EQ(writer(kUnheardOf), std::nullopt);
}

}  // namespace
}  // namespace tidemark
