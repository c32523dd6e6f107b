// The RSA key pair with which passwords come to us without TLS. Made when its public half is first
// asked for (some tenths of a second), or read from a file; owns the key, which is never written.
// Thread-safe. What it cannot do: a client that takes the key from us on trust can be given another
// one by somebody in between. Only TLS with verification, or the key's file at the client, helps.
// Source of facts: MySQL 9.7 sql/auth/sha2_password.cc, sql-common/client_authentication.cc.
#pragma once

#include <memory>
#include <string>

#include "pitr/serve/accounts.h"
#include "replication/base/bytes.h"
#include "replication/base/status.h"

namespace tidemark {

class RsaKey {
 public:
  RsaKey();  // makes one when needed
  // A private key without a passphrase, of 2048 to 8192 bits (what clients take). kIo, kUsage.
  static Result<std::unique_ptr<RsaKey>> Load(const std::string& pem_file);
  ~RsaKey();

  // PEM, as a client takes it. Empty if no key could be made.
  std::string PublicPem();
  // The password, from what the client sends: RSA (OAEP, SHA-1) of (password + NUL) XOR nonce.
  // kCorruption, always in the same words. The caller wipes the password. Never makes a key: nobody
  // can have encrypted with one that has not been given out.
  Result<std::string> Decrypt(Bytes encrypted, const Nonce& nonce);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tidemark
