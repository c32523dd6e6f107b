#include "replication/base/checksum.h"

#include <gtest/gtest.h>

namespace tidemark {
namespace {

// Published check values: CRC-32/ISO-HDLC of "123456789", FIPS 180-4's "abc", xxHash's empty input.
TEST(Checksums, MatchPublishedValues) {
  EXPECT_EQ(Crc32(0, AsBytes("123456789")), 0xCBF43926u);
  Sha256 sha;
  sha.Update(AsBytes("abc"));
  EXPECT_EQ(Hex(sha.Finish()), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Xxh64().Digest(), 0xEF46DB3751D8E999u);
}

TEST(Checksums, InPiecesEqualTheWhole) {
  const std::string text = "the quick brown fox jumps over the lazy dog";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    const Bytes head = AsBytes(text).first(cut), tail = AsBytes(text).subspan(cut);
    EXPECT_EQ(Crc32(Crc32(0, head), tail), Crc32(0, AsBytes(text)));
    Sha256 pieces, whole;
    pieces.Update(head);
    pieces.Update(tail);
    whole.Update(AsBytes(text));
    EXPECT_EQ(pieces.Finish(), whole.Finish());
    Xxh64 one, two;
    one.Update(AsBytes(text));
    two.Update(head);
    two.Update(tail);
    EXPECT_EQ(one.Digest(), two.Digest());
  }
}

}  // namespace
}  // namespace tidemark
