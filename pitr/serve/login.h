// Logging in to us, as caching_sha2_password has it, from greeting to OK: a pure state machine that
// takes the client's packets and says what to do next. It never sees the network.
//
// Fast authentication compares the client's scramble with SHA256(SHA256(password)), which we have if
// the account's password is known as it is, or is kept as a crypt(3) hash and somebody has logged in
// with it since the start. Else full authentication: the password comes through TLS, or encrypted
// with our RSA key. Comparisons take the same time whatever differs, and an unknown user is taken
// through the same steps as a wrong password.
// Source of facts: MySQL 9.7 sql/auth/sha2_password.cc, sql-common/client.cc, and the server
// manual's "Connection Phase".
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "replication/base/bytes.h"
#include "replication/base/status.h"

namespace tidemark {

using Nonce = std::array<uint8_t, 20>;  // without a zero byte
using Digest = std::array<uint8_t, 32>;

inline constexpr size_t kPasswordBytesMax = 256;  // MySQL's own limit for caching_sha2_password

// One account that may replicate. The secret is either the password or a crypt(3) hash of it
// ("$5$…", "$6$…", as `openssl passwd -6` prints). Never empty.
struct ServeAccount {
  std::string user;
  std::string secret;
  std::string source;  // the archive's source it is served
};

// All accounts, with what has been learned of them. Thread-safe.
class Accounts {
 public:
  explicit Accounts(std::vector<ServeAccount> accounts);
  // Empty if there is no such user.
  std::string SourceOf(std::string_view user) const;
  // Whether the scramble proves the password; nullopt: it cannot be told, ask for the password.
  std::optional<bool> CheckScramble(std::string_view user, const Nonce& nonce,
                                    Bytes scramble) const;
  bool CheckPassword(std::string_view user, std::string_view password);

 private:
  struct Known {
    ServeAccount account;
    std::optional<Digest> double_digest;  // SHA256(SHA256(password)), once known
  };
  mutable std::mutex mutex_;
  std::map<std::string, Known, std::less<>> known_;
};

// XOR(SHA256(password), SHA256(SHA256(SHA256(password)) + nonce)): what a client sends.
std::string Scramble(std::string_view password, const Nonce& nonce);

// RSA key pair with which passwords come without TLS. Made when first asked for, or read from a
// file. Thread-safe.
class RsaKey {
 public:
  RsaKey();                                                       // makes one when needed
  static Result<std::unique_ptr<RsaKey>> Load(const std::string& pem_file);  // private key
  ~RsaKey();
  std::string PublicPem();
  // The password, from what the client sends: RSA (OAEP) of password + NUL, XOR nonce. kCorruption.
  Result<std::string> Decrypt(Bytes encrypted, const Nonce& nonce);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct LoginOptions {
  std::string server_version;
  bool tls_offered = false;
  bool tls_required = false;
  uint32_t connection_id = 0;
};

class LoginMachine {
 public:
  enum class Next : uint8_t {
    kRead,      // send `send` (may be empty), read the client's next packet, give it to OnPacket
    kStartTls,  // do the TLS handshake, then read
    kDone,      // send `send`: the client is in
    kFail,      // send `send`, close
  };
  struct Step {
    Next next = Next::kRead;
    std::string send = {};  // one payload
    Status reason = {};     // kFail: for the log; never has a secret in it
  };

  LoginMachine(Accounts& accounts, RsaKey& key, LoginOptions options, const Nonce& nonce);
  Step Greet();
  Step OnPacket(Bytes payload);
  const std::string& user() const { return user_; }

 private:
  enum class State : uint8_t { kGreeted, kGreetedInTls, kSwitched, kWantsPassword, kOver };
  Step OnLogin(Bytes payload);
  Step OnScramble(Bytes scramble);
  Step OnPassword(Bytes payload);
  Step Accept();
  Step Refuse(const std::string& why);
  Step RefuseWith(uint16_t number, std::string_view sqlstate, std::string message);

  Accounts& accounts_;
  RsaKey& key_;
  const LoginOptions options_;
  const Nonce nonce_;
  State state_ = State::kGreeted;
  bool in_tls_ = false;
  std::string user_;
};

Nonce RandomNonce();

}  // namespace tidemark
