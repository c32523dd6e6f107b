// Logging in to us, as caching_sha2_password has it, from greeting to OK: a pure state machine that
// takes the client's packets and says what to do next. It never sees the network. One connection
// has one machine, used by one thread at a time; accounts and key are shared by all, and outlive
// it.
//
// Fast authentication compares the client's scramble with SHA256(SHA256(password)), which we have
// if the account's password is known as it is, or is kept as a crypt(3) hash and somebody has
// logged in with it since the start. Else full authentication: the password comes through TLS, or
// encrypted with our RSA key. Comparisons take the same time whatever differs, and an unknown user
// is taken through the same steps as a wrong password. Source of facts: MySQL 9.7
// sql/auth/sql_authentication.cc, sql/auth/sha2_password.cc, sql-common/client.cc, and the server
// manual's "Connection Phase".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pitr/serve/accounts.h"
#include "pitr/serve/rsa_key.h"
#include "replication/base/bytes.h"
#include "replication/base/status.h"

namespace tidemark {

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
    kStartTls,  // do the TLS handshake, then read. What came behind the packet unencrypted must not
                // be taken for a part of what comes through TLS
    kDone,      // send `send`: the client is in
    kFail,      // send `send`, close
  };
  struct Step {
    Next next = Next::kRead;
    std::vector<std::string> send = {};  // payloads, each a packet of its own
    Status reason = {};                  // kFail: for the log; never has a secret in it
  };

  LoginMachine(Accounts& accounts, RsaKey& key, LoginOptions options, const Nonce& nonce);
  Step Greet();
  // May take some milliseconds (decryption, crypt(3)), or some tenths of a second where the RSA key
  // is made. The payload may have the password in it: the caller wipes its buffer.
  Step OnPacket(Bytes payload);
  // As the client sent it: any bytes, until kDone.
  const std::string& user() const { return user_; }
  bool in_tls() const { return in_tls_; }

 private:
  enum class State : uint8_t {
    kGreeted,         // the login, or a request for TLS
    kGreetedInTls,    // the login
    kSwitched,        // the scramble, asked for once more
    kWantsPassword,   // the password (in TLS), or encrypted, or a request for the public key
    kWantsEncrypted,  // the password, encrypted with the key that was given
    kOver,
  };
  Step OnLogin(Bytes payload);
  Step OnScramble(Bytes scramble);
  Step OnPassword(Bytes payload);
  Step OnPasswordInTls(Bytes payload);
  Step SwitchPlugin();
  Step Accept(std::vector<std::string> send);
  Step Refuse(bool password_used, const std::string& why);
  Step RefuseHandshake(const std::string& why);
  Step Fail(std::string error_payload, Status reason);

  Accounts& accounts_;
  RsaKey& key_;
  const LoginOptions options_;
  const Nonce nonce_;
  State state_ = State::kGreeted;
  bool in_tls_ = false;
  std::string user_;
};

}  // namespace tidemark
