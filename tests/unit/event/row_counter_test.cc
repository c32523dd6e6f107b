#include "replication/event/row_counter.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/support/seed.h"

namespace tidemark {
namespace {

Bytes View(const std::vector<uint8_t>& bytes) { return bytes; }

struct SizeCase {
  const char* name;
  uint8_t type;
  std::vector<uint8_t> metadata;
  int fixed;   // -1: has a length in front
  int prefix;  // its width
};

TEST(ColumnSizes, OfEveryType) {
  const SizeCase cases[] = {
      {"tiny", 1, {}, 1, 0},
      {"short", 2, {}, 2, 0},
      {"int24", 9, {}, 3, 0},
      {"long", 3, {}, 4, 0},
      {"longlong", 8, {}, 8, 0},
      {"float", 4, {4}, 4, 0},
      {"double", 5, {8}, 8, 0},
      {"year", 13, {}, 1, 0},
      {"date", 10, {}, 3, 0},
      {"time", 11, {}, 3, 0},
      {"datetime", 12, {}, 8, 0},
      {"timestamp", 7, {}, 4, 0},
      {"time2(0)", 19, {0}, 3, 0},
      {"time2(3)", 19, {3}, 5, 0},
      {"datetime2(6)", 18, {6}, 8, 0},
      {"timestamp2(4)", 17, {4}, 6, 0},
      {"decimal(65,30)", 246, {65, 30}, 30, 0},
      {"decimal(5,0)", 246, {5, 0}, 3, 0},
      {"decimal(1,1)", 246, {1, 1}, 1, 0},
      {"bit(13)", 16, {5, 1}, 2, 0},
      {"bit(64)", 16, {0, 8}, 8, 0},
      {"enum", 254, {247, 1}, 1, 0},
      {"set", 254, {248, 2}, 2, 0},
      {"char(1) utf8mb4", 254, {0xFE, 4}, -1, 1},
      {"char(120) utf8mb4", 254, {0xEE, 0xE0}, -1, 2},
      {"varchar 255", 15, {255, 0}, -1, 1},
      {"varchar 256", 15, {0, 1}, -1, 2},
      {"tinyblob", 252, {1}, -1, 1},
      {"longblob", 252, {4}, -1, 4},
      {"json", 245, {4}, -1, 4},
      {"geometry", 255, {4}, -1, 4},
      {"vector", 242, {4}, -1, 4},
  };
  for (const SizeCase& c : cases) {
    std::vector<ColumnSize> sizes;
    ASSERT_TRUE(ColumnSizes(View({c.type}), c.metadata, &sizes)) << c.name;
    ASSERT_EQ(sizes.size(), 1U);
    EXPECT_EQ(sizes[0].form, c.fixed >= 0 ? ColumnSize::Form::kFixed : ColumnSize::Form::kPrefixed)
        << c.name;
    EXPECT_EQ(c.fixed >= 0 ? sizes[0].fixed_bytes : sizes[0].prefix_bytes,
              c.fixed >= 0 ? c.fixed : c.prefix)
        << c.name;
  }
}

TEST(ColumnSizes, TypedArraysOnlyUseTheirMetadata) {
  std::vector<ColumnSize> sizes;
  ASSERT_TRUE(ColumnSizes(View({20, 20, 3}), View({15, 1, 2, 3, 246, 10, 2}), &sizes));
  EXPECT_EQ(sizes[0].form, ColumnSize::Form::kUnknown);
  EXPECT_EQ(sizes[2].fixed_bytes, 4);
}

TEST(ColumnSizes, MetadataMustFitExactly) {
  std::vector<ColumnSize> sizes;
  EXPECT_FALSE(ColumnSizes(View({15}), View({1}), &sizes));
  EXPECT_FALSE(ColumnSizes(View({3}), View({1}), &sizes));
}

class RowCounterTest : public ::testing::Test {
 protected:
  std::optional<uint64_t> Count(RowsKind kind, std::vector<uint8_t> before,
                                std::vector<uint8_t> after, const std::vector<uint8_t>& rows,
                                size_t piece = SIZE_MAX) {
    RowsHeader header;
    header.kind = kind;
    header.columns = columns_.size();
    header.before_columns = before;
    header.after_columns = after;
    RowCounter counter;
    counter.Begin(header, columns_);
    for (size_t at = 0; at < rows.size(); at += std::min(piece, rows.size() - at)) {
      const std::vector<uint8_t> fed(
          rows.begin() + static_cast<ptrdiff_t>(at),
          rows.begin() + static_cast<ptrdiff_t>(at + std::min(piece, rows.size() - at)));
      counter.Feed(fed);
    }
    return counter.Rows();
  }
  void Columns(const std::vector<uint8_t>& types, const std::vector<uint8_t>& metadata) {
    ASSERT_TRUE(ColumnSizes(types, metadata, &columns_));
  }
  std::vector<ColumnSize> columns_;
};

TEST_F(RowCounterTest, NoBytesAreNoRows) {
  Columns({1}, {});
  EXPECT_EQ(Count(RowsKind::kWrite, {1}, {}, {}), 0U);
}

TEST_F(RowCounterTest, NullsTakeNoBytes) {
  Columns({1, 2}, {});
  EXPECT_EQ(Count(RowsKind::kWrite, {3}, {}, {0, 7, 8, 9, 3, 2, 5, 1, 6, 6}), 4U);
}

TEST_F(RowCounterTest, ImagesOfAnUpdateMayDiffer) {
  Columns({1, 2}, {});
  // before: first column only; after: second only
  EXPECT_EQ(Count(RowsKind::kUpdate, {1}, {2}, {0, 7, 0, 8, 9, 0, 7, 1}), 2U);
  EXPECT_EQ(Count(RowsKind::kUpdate, {1}, {2}, {0, 7}), std::nullopt)
      << "the after image is missing";
  EXPECT_EQ(Count(RowsKind::kUpdate, {1}, {0}, {0, 7, 0, 8}), 2U) << "an empty after image";
}

TEST_F(RowCounterTest, PartialJsonHasABitPerJsonColumn) {
  Columns({1, 245, 245}, {4, 4});
  const std::vector<uint8_t> row = {0, 1,    2, 0, 0, 0, 'j', 'j', 0,   0,   0,   0,  // before
                                    1, 0x01, 0, 1, 3, 0, 0,   0,   'd', 'd', 'd', 0, 0, 0, 0};
  std::vector<uint8_t> rows = row;
  rows.insert(rows.end(), row.begin(), row.end());
  for (size_t piece = 1; piece <= rows.size(); ++piece) {
    EXPECT_EQ(Count(RowsKind::kPartialUpdate, {7}, {7}, rows, piece), 2U) << piece;
  }
  EXPECT_EQ(Count(RowsKind::kPartialUpdate, {1}, {1}, {0, 1, 0, 0, 5}), 1U)
      << "value_options 0: no bits";
  EXPECT_EQ(Count(RowsKind::kPartialUpdate, {1}, {1}, {0, 1, 0xFC, 0, 5}), std::nullopt)
      << "options from the future";
}

TEST_F(RowCounterTest, UnknownTypesMakeTheCountUnknownOnlyWhenTheyHaveAValue) {
  Columns({1, 200}, {});
  EXPECT_EQ(Count(RowsKind::kWrite, {3}, {}, {2, 9}), 1U);
  EXPECT_EQ(Count(RowsKind::kWrite, {1}, {}, {0, 9}), 1U);
  EXPECT_EQ(Count(RowsKind::kWrite, {3}, {}, {0, 9, 1, 2, 3}), std::nullopt);
}

TEST_F(RowCounterTest, RowsThatEndEarlyAreUnknown) {
  Columns({252}, {4});
  EXPECT_EQ(Count(RowsKind::kWrite, {1}, {}, {0, 9, 0, 0, 0, 'x'}), std::nullopt);
  EXPECT_EQ(Count(RowsKind::kWrite, {1}, {}, {0, 9}), std::nullopt);
  EXPECT_EQ(Count(RowsKind::kWrite, {1}, {}, {0, 0xFF, 0xFF, 0xFF, 0xFF, 1}), std::nullopt);
}

TEST_F(RowCounterTest, RowsWithoutBytesAreUnknownNotEndless) {
  Columns({1}, {});
  EXPECT_EQ(Count(RowsKind::kWrite, {0}, {}, {1, 2, 3}), std::nullopt);
}

TEST_F(RowCounterTest, AnotherColumnCountThanTheTablesIsUnknown) {
  Columns({1, 1}, {});
  columns_.pop_back();
  RowsHeader header;
  header.columns = 2;
  const std::vector<uint8_t> bits = {3};
  header.before_columns = bits;
  RowCounter counter;
  counter.Begin(header, columns_);
  EXPECT_EQ(counter.Rows(), std::nullopt);
}

TEST_F(RowCounterTest, RandomRowsInRandomPiecesGiveTheirNumber) {
  std::mt19937_64 random(testing::TestSeed());
  for (int round = 0; round < 200; ++round) {
    std::vector<uint8_t> types;
    std::vector<uint8_t> metadata;
    const size_t columns = 1 + random() % 20;
    for (size_t i = 0; i < columns; ++i) {
      switch (random() % 4) {
        case 0: types.push_back(8); break;
        case 1:
          types.push_back(252), metadata.push_back(static_cast<uint8_t>(1 + random() % 4));
          break;
        case 2: types.push_back(15), metadata.insert(metadata.end(), {0, 1}); break;
        default: types.push_back(1); break;
      }
    }
    Columns(types, metadata);
    const uint64_t rows = random() % 20;
    std::vector<uint8_t> bytes;
    for (uint64_t row = 0; row < rows; ++row) {
      const size_t nulls_at = bytes.size();
      bytes.resize(bytes.size() + (columns + 7) / 8);
      for (size_t i = 0; i < columns; ++i) {
        if (random() % 4 == 0) {
          bytes[nulls_at + i / 8] = static_cast<uint8_t>(bytes[nulls_at + i / 8] | 1U << i % 8);
          continue;
        }
        size_t size = columns_[i].fixed_bytes;
        if (columns_[i].form == ColumnSize::Form::kPrefixed) {
          size = random() % 100;
          for (size_t b = 0; b < columns_[i].prefix_bytes; ++b)
            bytes.push_back(b == 0 ? static_cast<uint8_t>(size) : 0);
        }
        for (size_t b = 0; b < size; ++b) bytes.push_back(static_cast<uint8_t>(random()));
      }
    }
    const std::vector<uint8_t> all(3, 0xFF);
    ASSERT_EQ(Count(RowsKind::kWrite, all, {}, bytes), rows);
    ASSERT_EQ(Count(RowsKind::kWrite, all, {}, bytes, 1 + random() % 50), rows);
  }
}

}  // namespace
}  // namespace tidemark
