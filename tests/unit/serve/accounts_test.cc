#include "pitr/serve/accounts.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <thread>

#include "tests/support/seed.h"

namespace tidemark {
namespace {

// Made with crypt(3) from "secret".
constexpr const char* kSha512 =
    "$6$rounds=1000$tidemark$kk2wpm3N0YC2Uga6Ju27xDu4b2kYc825TjYHIgFLEb3M8D1TeZVYg5gjiQ1EaxmPFBJPpb"
    "a1oocMh3gSz2RnW/";
constexpr const char* kSha256 =
    "$5$rounds=1000$tidemark$hSYq95H9NumPUjtwFgS6pnaR4gbAZwPQ2Z9gESsxXt.";
// `openssl passwd -6 -salt tidemark secret`
constexpr const char* kOpenssl =
    "$6$tidemark$z.iV7mjASwY6H5nbbblyjaAeY32ZO.OZfETyahg9aLFPPe//cx4//zeJgjI4nzlJRoMjUcBqvBkK78Ch8Y"
    "L99.";

Nonce CountingNonce() {
  Nonce nonce{};
  for (size_t i = 0; i < nonce.size(); ++i) nonce[i] = static_cast<uint8_t>(i + 1);
  return nonce;
}

std::optional<bool> Check(const Accounts& accounts, const std::string& user,
                          const std::string& password) {
  const Nonce nonce = RandomNonce();
  const std::string scramble = Scramble(password, nonce);
  return accounts.CheckScramble(user, nonce, AsBytes(scramble));
}

// The expected bytes were computed from the formula by another program.
TEST(Scramble, IsWhatTheFormulaSays) {
  const std::string scramble = Scramble("secret", CountingNonce());
  std::string hex;
  for (const uint8_t byte : AsBytes(scramble)) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  EXPECT_EQ(hex, "746ebe205d56a0707acb3e796e834e0dd7b1d61743b26bd5202c7a623230c7c9");
}

TEST(RandomNonce, HasOnlyBytesThatClientsTakeAndIsNewEachTime) {
  std::set<Nonce> seen;
  for (int i = 0; i < 500; ++i) {
    const Nonce nonce = RandomNonce();
    for (const uint8_t byte : nonce) {
      EXPECT_NE(byte, 0);
      EXPECT_NE(byte, '$');
      EXPECT_LT(byte, 128);
    }
    EXPECT_TRUE(seen.insert(nonce).second);
  }
}

TEST(Accounts, PlainSecretIsProvedByItsScrambleAlone) {
  const Accounts accounts({{"repl", "secret", "shop"}, {"other", "different", "stock"}});
  EXPECT_EQ(Check(accounts, "repl", "secret"), true);
  EXPECT_EQ(Check(accounts, "repl", "secre"), false);
  EXPECT_EQ(Check(accounts, "repl", "different"), false) << "another account's password";
  EXPECT_EQ(Check(accounts, "other", "different"), true);
}

TEST(Accounts, ScrambleOfAnotherNonceProvesNothing) {
  const Accounts accounts({{"repl", "secret", "shop"}});
  const std::string scramble = Scramble("secret", RandomNonce());
  EXPECT_EQ(accounts.CheckScramble("repl", RandomNonce(), AsBytes(scramble)), false);
}

TEST(Accounts, ScrambleOfAnotherSizeIsWrong) {
  const Accounts accounts({{"repl", "secret", "shop"}, {"hashed", kSha512, "shop"}});
  const Nonce nonce = RandomNonce();
  const std::string scramble = Scramble("secret", nonce);
  const Bytes bytes = AsBytes(scramble);
  EXPECT_EQ(accounts.CheckScramble("repl", nonce, bytes.first(31)), false);
  EXPECT_EQ(accounts.CheckScramble("repl", nonce, {}), false);
  EXPECT_EQ(accounts.CheckScramble("hashed", nonce, bytes.first(31)), false);
}

TEST(Accounts, HashedSecretIsProvedByItsScrambleOnlyOnceThePasswordWasSeen) {
  for (const char* hash : {kSha512, kSha256, kOpenssl}) {
    Accounts accounts({{"repl", hash, "shop"}});
    EXPECT_EQ(Check(accounts, "repl", "secret"), std::nullopt);
    EXPECT_FALSE(accounts.CheckPassword("repl", "wrong"));
    EXPECT_EQ(Check(accounts, "repl", "secret"), std::nullopt) << "learned from a wrong password";
    EXPECT_TRUE(accounts.CheckPassword("repl", "secret")) << hash;
    EXPECT_EQ(Check(accounts, "repl", "secret"), true);
    EXPECT_EQ(Check(accounts, "repl", "wrong"), false);
    EXPECT_TRUE(accounts.CheckPassword("repl", "secret"));
    EXPECT_FALSE(accounts.CheckPassword("repl", "wrong"));
  }
}

TEST(Accounts, PlainSecretIsAlsoProvedByThePassword) {
  Accounts accounts({{"repl", "secret", "shop"}});
  EXPECT_TRUE(accounts.CheckPassword("repl", "secret"));
  EXPECT_FALSE(accounts.CheckPassword("repl", "Secret"));
  EXPECT_FALSE(accounts.CheckPassword("repl", ""));
}

TEST(Accounts, TheHashItselfIsNoPassword) {
  Accounts accounts({{"repl", kSha512, "shop"}});
  EXPECT_FALSE(accounts.CheckPassword("repl", kSha512));
  EXPECT_EQ(Check(accounts, "repl", kSha512), std::nullopt);
}

TEST(Accounts, UnknownUserIsAskedForNothingAndNeverIn) {
  Accounts accounts({{"repl", kSha512, "shop"}, {"", "anonymous", "shop"}});
  EXPECT_EQ(Check(accounts, "nobody", "secret"), false);
  EXPECT_EQ(Check(accounts, "nobody", ""), false);
  EXPECT_FALSE(accounts.CheckPassword("nobody", "secret"));
  EXPECT_FALSE(accounts.CheckPassword("REPL", "secret")) << "names are case-sensitive";
  EXPECT_FALSE(accounts.CheckPassword(std::string_view("repl\0", 5), "secret"));
  EXPECT_EQ(accounts.SourceOf("nobody"), "");
  EXPECT_EQ(accounts.SourceOf("repl"), "shop");
}

TEST(Accounts, EmptySecretOrBrokenHashLetsNobodyIn) {
  Accounts accounts({{"empty", "", "shop"}, {"broken", "$6$", "shop"}, {"worse", "$5$\n", "shop"}});
  for (const std::string user : {"empty", "broken", "worse"}) {
    EXPECT_NE(Check(accounts, user, ""), true) << user;
    EXPECT_FALSE(accounts.CheckPassword(user, "")) << user;
    EXPECT_FALSE(accounts.CheckPassword(user, "*0")) << user;
    EXPECT_FALSE(accounts.CheckPassword(user, "secret")) << user;
  }
}

TEST(Accounts, PasswordWithANulIsNotItsBeginning) {
  Accounts accounts({{"repl", kSha512, "shop"}});
  EXPECT_FALSE(accounts.CheckPassword("repl", std::string_view("secret\0x", 8)));
  EXPECT_TRUE(accounts.CheckPassword("repl", "secret"));
}

TEST(Accounts, PasswordHasALengthLimit) {
  const std::string longest(kPasswordBytesMax, 'x');
  Accounts accounts({{"longest", longest, "shop"}, {"longer", longest + "x", "shop"}});
  EXPECT_TRUE(accounts.CheckPassword("longest", longest));
  EXPECT_FALSE(accounts.CheckPassword("longer", longest + "x"));
}

TEST(Accounts, OfTwoWithOneNameTheFirstCounts) {
  Accounts accounts({{"repl", "first", "shop"}, {"repl", "second", "stock"}});
  EXPECT_TRUE(accounts.CheckPassword("repl", "first"));
  EXPECT_FALSE(accounts.CheckPassword("repl", "second"));
  EXPECT_EQ(accounts.SourceOf("repl"), "shop");
}

TEST(Accounts, ManyThreadsLearnOneDigest) {
  Accounts accounts({{"repl", kSha512, "shop"}});
  std::vector<std::thread> threads;
  std::array<bool, 4> in{};
  for (bool& mine : in) {
    threads.emplace_back([&] {
      mine = accounts.CheckPassword("repl", "secret") && Check(accounts, "repl", "secret") == true;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(in, (std::array<bool, 4>{true, true, true, true}));
}

TEST(AccountsProperty, AScrambleIsRightExactlyForItsPasswordAndEveryBitOfItCounts) {
  std::mt19937_64 random(testing::TestSeed());
  for (int round = 0; round < 200; ++round) {
    std::string password(random() % kPasswordBytesMax + 1, '\0');
    for (char& c : password) c = static_cast<char>(random() % 255 + 1);
    if (password.starts_with("$5$") || password.starts_with("$6$")) continue;
    const Accounts accounts({{"repl", password, "shop"}});
    const Nonce nonce = RandomNonce();
    std::string scramble = Scramble(password, nonce);
    ASSERT_EQ(accounts.CheckScramble("repl", nonce, AsBytes(scramble)), true);
    const size_t bit = random() % (8 * scramble.size());
    scramble[bit / 8] = static_cast<char>(scramble[bit / 8] ^ (1 << (bit % 8)));
    ASSERT_EQ(accounts.CheckScramble("repl", nonce, AsBytes(scramble)), false) << "bit " << bit;
  }
}

}  // namespace
}  // namespace tidemark
