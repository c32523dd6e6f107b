#include "pitr/serve/rsa_key.h"

#include <gtest/gtest.h>
#include <openssl/err.h>

#include <cstdio>
#include <fstream>
#include <thread>

#include "tests/support/temp_dir.h"
#include "tests/unit/serve/rsa_client.h"

namespace tidemark {
namespace {

using testing::EncryptPassword;
using testing::RsaEncrypt;
using testing::SharedKey;
using testing::TempDir;
using testing::XorNonce;

void WritePem(const std::string& path, EVP_PKEY* key, const char* passphrase) {
  FILE* file = std::fopen(path.c_str(), "w");
  ASSERT_NE(file, nullptr);
  ASSERT_EQ(PEM_write_PrivateKey(file, key, passphrase ? EVP_aes_128_cbc() : nullptr, nullptr, 0,
                                 nullptr, const_cast<char*>(passphrase)),
            1);
  std::fclose(file);
  EVP_PKEY_free(key);
}

TEST(RsaKey, GivesThePasswordThatWasEncryptedWithItsPublicHalf) {
  const Nonce nonce = RandomNonce();
  const std::string pem = SharedKey().PublicPem();
  EXPECT_EQ(pem, SharedKey().PublicPem());
  EXPECT_TRUE(pem.starts_with("-----BEGIN PUBLIC KEY-----\n")) << pem;
  for (const std::string& password : {std::string("secret"), std::string("p"),
                                      std::string(200, 'x'), std::string("pä\x01\xFF")}) {
    const std::string encrypted = EncryptPassword(pem, password, nonce);
    const Result<std::string> got = SharedKey().Decrypt(AsBytes(encrypted), nonce);
    ASSERT_TRUE(got.ok()) << got.error().message();
    EXPECT_EQ(*got, password);
  }
}

TEST(RsaKey, GivesAnEmptyPasswordAsEmpty) {
  const Nonce nonce = RandomNonce();
  const std::string encrypted = EncryptPassword(SharedKey().PublicPem(), "", nonce);
  const Result<std::string> got = SharedKey().Decrypt(AsBytes(encrypted), nonce);
  ASSERT_TRUE(got.ok()) << got.error().message();
  EXPECT_EQ(*got, "");
}

TEST(RsaKey, StopsAtTheFirstNulOfThePassword) {
  const Nonce nonce = RandomNonce();
  const std::string plain("one\0two\0", 8);
  const std::string encrypted = RsaEncrypt(SharedKey().PublicPem(), XorNonce(plain, nonce));
  const Result<std::string> got = SharedKey().Decrypt(AsBytes(encrypted), nonce);
  ASSERT_TRUE(got.ok()) << got.error().message();
  EXPECT_EQ(*got, "one");
}

TEST(RsaKey, RefusesWhatHasNoNul) {
  const Nonce nonce = RandomNonce();
  const std::string encrypted =
      RsaEncrypt(SharedKey().PublicPem(), XorNonce("password without an end", nonce));
  EXPECT_EQ(SharedKey().Decrypt(AsBytes(encrypted), nonce).error().code(), Code::kCorruption);
}

TEST(RsaKey, RefusesAnotherSizeAndFlippedBitsAndLeavesNoErrorBehind) {
  const Nonce nonce = RandomNonce();
  const std::string encrypted = EncryptPassword(SharedKey().PublicPem(), "secret", nonce);
  for (const std::string& bad : {std::string(), encrypted.substr(1), encrypted + '\0'}) {
    EXPECT_EQ(SharedKey().Decrypt(AsBytes(bad), nonce).error().code(), Code::kCorruption);
  }
  for (size_t at = 0; at < encrypted.size(); at += 37) {
    std::string bad = encrypted;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    EXPECT_EQ(SharedKey().Decrypt(AsBytes(bad), nonce).error().code(), Code::kCorruption);
  }
  EXPECT_EQ(ERR_peek_error(), 0U) << "the next TLS connection would take it for its own";
}

TEST(RsaKey, DecryptsNothingWithAKeyThatWasNeverGivenOut) {
  RsaKey unused;
  const std::string encrypted(256, 'x');
  EXPECT_EQ(unused.Decrypt(AsBytes(encrypted), RandomNonce()).error().code(), Code::kCorruption);
}

TEST(RsaKey, IsMadeOnceForManyThreads) {
  RsaKey key;
  std::vector<std::string> pems(4);
  std::vector<std::thread> threads;
  for (std::string& pem : pems) threads.emplace_back([&] { pem = key.PublicPem(); });
  for (std::thread& thread : threads) thread.join();
  for (const std::string& pem : pems) EXPECT_EQ(pem, pems[0]);
  EXPECT_FALSE(pems[0].empty());
  EXPECT_NE(pems[0], SharedKey().PublicPem());
}

TEST(RsaKey, LoadedKeyDecryptsForAClientThatHasThePublicHalfAlready) {
  const TempDir dir;
  const std::string path = dir.Path("key.pem");
  WritePem(path, EVP_RSA_gen(2048), nullptr);
  Result<std::unique_ptr<RsaKey>> first = RsaKey::Load(path), second = RsaKey::Load(path);
  ASSERT_TRUE(first.ok()) << first.error().message();
  ASSERT_TRUE(second.ok());
  const Nonce nonce = RandomNonce();
  const std::string encrypted = EncryptPassword((*first)->PublicPem(), "secret", nonce);
  const Result<std::string> got = (*second)->Decrypt(AsBytes(encrypted), nonce);
  ASSERT_TRUE(got.ok()) << got.error().message();
  EXPECT_EQ(*got, "secret");
}

TEST(RsaKey, LoadRefusesWhatIsNoUsableKey) {
  const TempDir dir;
  EXPECT_EQ(RsaKey::Load(dir.Path("absent")).error().code(), Code::kIo);

  std::ofstream(dir.Path("text")) << "not a key\n";
  EXPECT_EQ(RsaKey::Load(dir.Path("text")).error().code(), Code::kUsage);

  std::ofstream(dir.Path("public")) << SharedKey().PublicPem();
  EXPECT_EQ(RsaKey::Load(dir.Path("public")).error().code(), Code::kUsage);

  WritePem(dir.Path("ec"), EVP_EC_gen("P-256"), nullptr);
  EXPECT_EQ(RsaKey::Load(dir.Path("ec")).error().code(), Code::kUsage);

  WritePem(dir.Path("small"), EVP_RSA_gen(1024), nullptr);
  const Status small = RsaKey::Load(dir.Path("small")).error();
  EXPECT_EQ(small.code(), Code::kUsage);
  EXPECT_NE(small.message().find("1024 bits"), std::string::npos) << small.message();

  // Must not ask for the passphrase, not even where it would be told.
  WritePem(dir.Path("locked"), EVP_RSA_gen(2048), "passphrase");
  std::ofstream(dir.Path("typed")) << "passphrase\n";
  ASSERT_NE(std::freopen(dir.Path("typed").c_str(), "r", stdin), nullptr);
  EXPECT_EQ(RsaKey::Load(dir.Path("locked")).error().code(), Code::kUsage);
  EXPECT_EQ(ERR_peek_error(), 0U);
}

}  // namespace
}  // namespace tidemark
