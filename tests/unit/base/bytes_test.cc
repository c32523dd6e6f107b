#include "replication/base/bytes.h"

#include <gtest/gtest.h>

namespace tidemark {
namespace {

TEST(ByteReader, ReadsLittleAndBigEndian) {
  std::string bytes;
  ByteWriter(&bytes)
      .U8(7)
      .U16(0x1234)
      .U32(0xDEADBEEF)
      .U64(0x0102030405060708)
      .U32Big(1)
      .U64Big(2)
      .Text16("ab");
  EXPECT_EQ(bytes.substr(1, 2), "\x34\x12");
  ByteReader reader(AsBytes(bytes));
  EXPECT_EQ(reader.U8(), 7);
  EXPECT_EQ(reader.U16(), 0x1234);
  EXPECT_EQ(reader.U32(), 0xDEADBEEF);
  EXPECT_EQ(reader.U64(), 0x0102030405060708u);
  EXPECT_EQ(reader.U32Big(), 1u);
  EXPECT_EQ(reader.U64Big(), 2u);
  EXPECT_EQ(AsText(reader.Take(reader.U16())), "ab");
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(reader.remaining(), 0u);
}

TEST(ByteReader, StaysBadAfterTheFirstReadThatDoesNotFit) {
  const uint8_t bytes[] = {1, 2, 3};
  ByteReader reader(bytes);
  EXPECT_EQ(reader.U32(), 0u);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.U8(), 0) << "a later read that would fit must not succeed";
  EXPECT_TRUE(reader.Take(1).empty());
}

TEST(ByteReader, TakeOfAHugeLengthDoesNotOverflow) {
  const uint8_t bytes[] = {1, 2, 3};
  ByteReader reader(bytes);
  reader.Skip(1);
  EXPECT_TRUE(reader.Take(SIZE_MAX).empty());
  EXPECT_FALSE(reader.ok());
}

TEST(ByteReader, PackedIntegerHasFourWidthsAndTwoForbiddenFirstBytes) {
  const uint8_t bytes[] = {0xFA, 0xFC, 1, 2, 0xFD, 1, 2, 3, 0xFE, 1, 2, 3, 4, 5, 6, 7, 8};
  ByteReader reader(bytes);
  EXPECT_EQ(reader.PackedInteger(), 0xFAu);
  EXPECT_EQ(reader.PackedInteger(), 0x0201u);
  EXPECT_EQ(reader.PackedInteger(), 0x030201u);
  EXPECT_EQ(reader.PackedInteger(), 0x0807060504030201u);
  EXPECT_TRUE(reader.ok());
  for (uint8_t forbidden : {0xFB, 0xFF}) {
    ByteReader bad({&forbidden, 1});
    (void)bad.PackedInteger();
    EXPECT_FALSE(bad.ok());
  }
}

}  // namespace
}  // namespace tidemark
