#include "pitr/serve/accounts.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <memory>
#include <utility>

#include "replication/base/status.h"

namespace tidemark {
namespace {

Digest Sha256Of(Bytes bytes) {
  Digest digest{};
  ::SHA256(bytes.data(), bytes.size(), digest.data());
  return digest;
}

Digest DoubleDigest(std::string_view password) {
  Digest once = Sha256Of(AsBytes(password));
  const Digest twice = Sha256Of(once);
  OPENSSL_cleanse(once.data(), once.size());
  return twice;
}

// SHA256(SHA256(SHA256(password)) + nonce): what hides SHA256(password) in a scramble.
Digest Mask(const Digest& double_digest, const Nonce& nonce) {
  std::array<uint8_t, sizeof(Digest) + sizeof(Nonce)> both{};
  std::copy(double_digest.begin(), double_digest.end(), both.begin());
  std::copy(nonce.begin(), nonce.end(), both.begin() + sizeof(Digest));
  return Sha256Of(both);
}

bool SameDigest(const Digest& a, const Digest& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

void FillRandom(uint8_t* bytes, size_t size) {
  // A process without random numbers cannot keep any of its promises.
  TM_CHECK(RAND_bytes(bytes, static_cast<int>(size)) == 1);
}

Digest RandomDigest() {
  Digest digest{};
  FillRandom(digest.data(), digest.size());
  return digest;
}

void Wipe(std::string* secret) {
  OPENSSL_cleanse(secret->data(), secret->size());
  secret->clear();
}

bool IsCryptHash(std::string_view secret) {
  return secret.starts_with("$5$") || secret.starts_with("$6$");
}

// `password` has no NUL in it.
bool MatchesCryptHash(std::string_view password, const std::string& hash) {
  auto scratch = std::make_unique<crypt_data>();  // 32 KiB
  // On the heap whatever its length, so that wiping it wipes the only copy.
  std::string terminated;
  terminated.reserve(kPasswordBytesMax);
  terminated = password;
  const char* made = crypt_r(terminated.c_str(), hash.c_str(), scratch.get());
  const std::string_view result = made == nullptr ? "" : made;
  const bool same =
      result.size() == hash.size() && CRYPTO_memcmp(result.data(), hash.data(), hash.size()) == 0;
  Wipe(&terminated);
  OPENSSL_cleanse(scratch.get(), sizeof(crypt_data));
  return same;
}

}  // namespace

Nonce RandomNonce() {
  Nonce nonce{};
  for (uint8_t& byte : nonce) {
    do {
      FillRandom(&byte, 1);
      byte &= 0x7F;
    } while (byte == 0 || byte == '$');
  }
  return nonce;
}

std::string Scramble(std::string_view password, const Nonce& nonce) {
  const Digest mask = Mask(DoubleDigest(password), nonce);
  Digest scramble = Sha256Of(AsBytes(password));
  for (size_t i = 0; i < scramble.size(); ++i) scramble[i] ^= mask[i];
  return std::string(AsText(scramble));
}

Accounts::Accounts(std::vector<ServeAccount> accounts) : nobodys_digest_(RandomDigest()) {
  for (ServeAccount& account : accounts) {
    Known known{.source = std::move(account.source), .hash = {}, .double_digest = {}};
    if (IsCryptHash(account.secret)) {
      known.hash = account.secret;
    } else if (!account.secret.empty()) {
      known.double_digest = DoubleDigest(account.secret);
    } else {
      known.double_digest = nobodys_digest_;
    }
    Wipe(&account.secret);
    known_.try_emplace(std::move(account.user), std::move(known));
  }
}

Accounts::Known Accounts::Find(std::string_view user) const {
  const std::lock_guard lock(mutex_);
  const auto found = known_.find(user);
  if (found != known_.end()) return found->second;
  return {.source = {}, .hash = {}, .double_digest = nobodys_digest_};
}

std::string Accounts::SourceOf(std::string_view user) const { return Find(user).source; }

std::optional<bool> Accounts::CheckScramble(std::string_view user, const Nonce& nonce,
                                            Bytes scramble) const {
  if (scramble.size() != sizeof(Digest)) return false;
  const Known known = Find(user);
  if (!known.double_digest) return std::nullopt;
  Digest once = Mask(*known.double_digest, nonce);
  for (size_t i = 0; i < once.size(); ++i) once[i] ^= scramble[i];
  const bool proved = SameDigest(Sha256Of(once), *known.double_digest);
  OPENSSL_cleanse(once.data(), once.size());
  return proved;
}

bool Accounts::CheckPassword(std::string_view user, std::string_view password) {
  if (password.empty() || password.size() > kPasswordBytesMax) return false;
  // crypt(3) would stop at a NUL, and take a password for its beginning.
  if (password.find('\0') != std::string_view::npos) return false;
  const Known known = Find(user);
  const Digest given = DoubleDigest(password);
  if (known.double_digest) return SameDigest(given, *known.double_digest);
  if (!MatchesCryptHash(password, known.hash)) return false;
  const std::lock_guard lock(mutex_);
  const auto found = known_.find(user);
  TM_CHECK(found != known_.end());  // accounts never go
  found->second.double_digest = given;
  return true;
}

}  // namespace tidemark
