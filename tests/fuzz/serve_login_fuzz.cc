// Anybody who reaches the port gives packets to the login: it must take any bytes in any of its
// states, let in nobody who does not prove a password, and stay over once it is over. Input: one
// byte of options, then packets of a length byte (times 1 or, with the top bit, the RSA key's 256)
// and their bytes. A packet of length 0x7F stands for a right login of the account whose secret is
// a hash, which no input would guess: behind it lie the states that wait for the password.
#include <algorithm>
#include <cstdint>
#include <string>

#include "pitr/serve/login.h"

namespace {

using tidemark::LoginMachine;

constexpr tidemark::Nonce kNonce = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                    11, 12, 13, 14, 15, 16, 17, 18, 19, 20};

tidemark::Accounts& SharedAccounts() {
  static tidemark::Accounts accounts(
      {{"a", "not to be guessed: 7c1f9d", "s"}, {"b", "$6$rounds=1000$x$", "s"}});
  return accounts;
}

// One for the process: making a key takes longer than a thousand inputs.
tidemark::RsaKey& SharedKey() {
  static tidemark::RsaKey key;
  static const bool made = !key.PublicPem().empty();
  TM_CHECK(made);
  return key;
}

std::string LoginOfHashedAccount() {
  constexpr uint32_t kCapabilities = 0x200 | 0x8000 | 0x80000;
  std::string packet;
  tidemark::ByteWriter(&packet)
      .U32(kCapabilities)
      .Text(std::string(28, '\0'))
      .Text("b")
      .U8(0)
      .U8(32)
      .Text(std::string(32, 'x'))
      .Text("caching_sha2_password")
      .U8(0);
  return packet;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tidemark::ByteReader input({data, size});
  const uint8_t options = input.U8();
  LoginMachine machine(SharedAccounts(), SharedKey(),
                       {.server_version = "9.7.0",
                        .tls_offered = (options & 1) != 0,
                        .tls_required = (options & 2) != 0},
                       kNonce);
  TM_CHECK(machine.Greet().next == LoginMachine::Next::kRead);
  const std::string hashed = LoginOfHashedAccount();
  bool over = false;
  while (input.ok() && input.remaining() > 0) {
    const uint8_t length = input.U8();
    size_t wanted = length & 0x7F;
    if ((length & 0x80) != 0) wanted = wanted == 0 ? 256 : wanted * 256;
    const tidemark::Bytes packet = length == 0x7F ? tidemark::AsBytes(hashed)
                                                  : input.Take(std::min(wanted, input.remaining()));
    const LoginMachine::Step step = machine.OnPacket(packet);
    TM_CHECK(step.next != LoginMachine::Next::kDone);
    TM_CHECK(step.reason.ok() == (step.next != LoginMachine::Next::kFail));
    if (over) TM_CHECK(step.next == LoginMachine::Next::kFail && step.send.empty());
    over = step.next == LoginMachine::Next::kFail;
    for (const std::string& payload : step.send)
      TM_CHECK(!payload.empty() && payload.size() < 2048);
  }
  return 0;
}
