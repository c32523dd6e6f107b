// The accounts that replicas log in with, and the arithmetic of caching_sha2_password. The accounts
// are kept for as long as the server runs; what a login teaches (the digest that lets the next one
// take the fast way) is held in memory only. Thread-safe. Secrets that are passwords are digested
// at once and wiped: no password outlives its check.
// Source of facts: MySQL 9.7 sql/auth/sha2_password.cc, sql-common/client_authentication.cc.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "replication/base/bytes.h"

namespace tidemark {

using Nonce = std::array<uint8_t, 20>;  // without a zero byte
using Digest = std::array<uint8_t, 32>;

inline constexpr size_t kPasswordBytesMax = 256;  // MySQL's own limit for caching_sha2_password

// Of the system's random source. Seven bits a byte, never 0 or '$': what clients are used to.
Nonce RandomNonce();

// XOR(SHA256(password), SHA256(SHA256(SHA256(password)) + nonce)): what a client sends.
std::string Scramble(std::string_view password, const Nonce& nonce);

// One account that may replicate. The secret is either the password or a crypt(3) hash of it
// ("$5$…", "$6$…", as `openssl passwd -6` prints). Never empty.
struct ServeAccount {
  std::string user;
  std::string secret;
  std::string source;  // the archive's source it is served
};

// All accounts, with what has been learned of them. Of two with one name the first counts; an
// account with an empty secret, or a hash that crypt(3) does not take, lets nobody in.
class Accounts {
 public:
  explicit Accounts(std::vector<ServeAccount> accounts);
  Accounts(const Accounts&) = delete;
  Accounts& operator=(const Accounts&) = delete;

  // Empty if there is no such user.
  std::string SourceOf(std::string_view user) const;
  // Whether the scramble proves the password; nullopt: it cannot be told, ask for the password. An
  // unknown user is compared with a digest that nothing has. (So who tries names does see which of
  // them are kept as a hash that nobody has logged in with yet.)
  std::optional<bool> CheckScramble(std::string_view user, const Nonce& nonce,
                                    Bytes scramble) const;
  // May take some milliseconds (crypt(3), as many rounds as the hash says), other users not held
  // up.
  bool CheckPassword(std::string_view user, std::string_view password);

 private:
  struct Known {
    std::string source;
    std::string hash;                     // crypt(3), or empty
    std::optional<Digest> double_digest;  // SHA256(SHA256(password)), once known
  };
  Known Find(std::string_view user) const;

  const Digest nobodys_digest_;
  mutable std::mutex mutex_;
  std::map<std::string, Known, std::less<>> known_;
};

}  // namespace tidemark
