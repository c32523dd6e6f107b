#include "pitr/serve/login.h"

#include <gtest/gtest.h>

#include "tests/unit/serve/rsa_client.h"

namespace tidemark {
namespace {

using testing::EncryptPassword;
using testing::SharedKey;
using Next = LoginMachine::Next;
using Step = LoginMachine::Step;

// Capabilities, as a client of today sends them.
constexpr uint32_t kWithDb = 0x8, k41 = 0x200, kSsl = 0x800, kSecure = 0x8000,
                   kPluginAuth = 0x80000, kAttributes = 0x100000, kLongData = 0x200000;
constexpr uint32_t kUsual = k41 | kSecure | kPluginAuth | kLongData;
constexpr const char* kHashOfSecret =
    "$6$rounds=1000$tidemark$kk2wpm3N0YC2Uga6Ju27xDu4b2kYc825TjYHIgFLEb3M8D1TeZVYg5gjiQ1EaxmPFBJPpb"
    "a1oocMh3gSz2RnW/";
const std::string kPlugin = "caching_sha2_password";
const std::string kFastOk("\x01\x03"), kFullWanted("\x01\x04"), kKeyRequest("\x02");
const std::string kOk("\x00\x00\x00\x02\x00\x00\x00", 7);

std::string LoginHead(uint32_t capabilities) {
  std::string packet;
  ByteWriter(&packet).U32(capabilities).U32(1 << 24).U8(255).Text(std::string(23, '\0'));
  return packet;
}

std::string LoginPacket(const std::string& user, const std::string& auth,
                        const std::string& plugin = kPlugin, uint32_t capabilities = kUsual) {
  std::string packet = LoginHead(capabilities);
  ByteWriter writer(&packet);
  writer.Text(user).U8(0).U8(static_cast<uint8_t>(auth.size())).Text(auth);
  if ((capabilities & kWithDb) != 0) writer.Text("shop").U8(0);
  if ((capabilities & kPluginAuth) != 0) writer.Text(plugin).U8(0);
  if ((capabilities & kAttributes) != 0) writer.U8(8).Text("\x03_os\x03xyz");
  return packet;
}

std::string ErrorText(const Step& step) {
  EXPECT_EQ(step.next, Next::kFail);
  EXPECT_FALSE(step.reason.ok());
  if (step.send.size() != 1 || step.send[0].size() < 9 || step.send[0][0] != '\xFF') return "none";
  const std::string& payload = step.send[0];
  return std::to_string(LoadLittleEndian(AsBytes(payload).data() + 1, 2)) + payload.substr(3);
}

class Login : public ::testing::Test {
 protected:
  explicit Login(LoginOptions options = {.server_version = "9.7.0-tidemark"})
      : options_(std::move(options)), nonce_(RandomNonce()) {}

  LoginMachine Machine() { return LoginMachine(accounts_, SharedKey(), options_, nonce_); }
  static Step Give(LoginMachine& machine, const std::string& packet) {
    return machine.OnPacket(AsBytes(packet));
  }
  // The answer to a new connection's first packet.
  Step First(const std::string& packet) {
    LoginMachine machine = Machine();
    return Give(machine, packet);
  }
  std::string Proof(const std::string& password) const { return Scramble(password, nonce_); }
  std::string SwitchRequest() const {
    return "\xFE" + kPlugin + '\0' + std::string(AsText(nonce_)) + '\0';
  }

  LoginOptions options_;
  const Nonce nonce_;
  Accounts accounts_{{{"plain", "secret", "shop"}, {"hashed", kHashOfSecret, "shop"}}};
};

class LoginWithTls : public Login {
 protected:
  LoginWithTls() : Login({.server_version = "9", .tls_offered = true, .tls_required = true}) {}
  LoginMachine MachineInTls() {
    LoginMachine machine = Machine();
    EXPECT_EQ(Give(machine, LoginHead(kUsual | kSsl)).next, Next::kStartTls);
    return machine;
  }
};

TEST_F(Login, GreetingIsProtocol10WithTheNonceInTwoParts) {
  options_.connection_id = 0x01020304;
  const Step step = Machine().Greet();
  EXPECT_EQ(step.next, Next::kRead);
  ASSERT_EQ(step.send.size(), 1U);
  const std::string nonce(AsText(nonce_));
  std::string expected;
  ByteWriter(&expected)
      .U8(10)
      .Text("9.7.0-tidemark")
      .U8(0)
      .U32(0x01020304)
      .Text(nonce.substr(0, 8))
      .U8(0)
      .U16(0xA20D)  // 4.1, long password and flag, database, transactions, secure connection
      .U8(255)
      .U16(2)
      .U16(0x0038)  // plugins, attributes, long authentication data
      .U8(21)
      .Text(std::string(10, '\0'))
      .Text(nonce.substr(8))
      .U8(0)
      .Text(kPlugin)
      .U8(0);
  EXPECT_EQ(step.send[0], expected);
}

TEST_F(LoginWithTls, GreetingOffersTls) {
  const Step step = Machine().Greet();
  ASSERT_EQ(step.send.size(), 1U);
  ByteReader reader(AsBytes(step.send[0]));
  reader.Skip(1 + 2 + 4 + 8 + 1);
  EXPECT_EQ(reader.U16(), 0xA20D | kSsl);
}

TEST_F(Login, RightScrambleIsInAtOnce) {
  LoginMachine machine = Machine();
  const Step step = Give(machine, LoginPacket("plain", Proof("secret")));
  EXPECT_EQ(step.next, Next::kDone);
  EXPECT_EQ(step.send, (std::vector{kFastOk, kOk}));
  EXPECT_EQ(machine.user(), "plain");
}

TEST_F(Login, DatabaseAndAttributesAreTakenAndIgnored) {
  for (const uint32_t extra : {kWithDb, kAttributes, kWithDb | kAttributes}) {
    const Step step = First(LoginPacket("plain", Proof("secret"), kPlugin, kUsual | extra));
    EXPECT_EQ(step.next, Next::kDone) << extra;
  }
  const uint32_t short_data = kUsual & ~kLongData;
  EXPECT_EQ(First(LoginPacket("plain", Proof("secret"), kPlugin, short_data)).next, Next::kDone);
}

TEST_F(Login, WrongPasswordAndUnknownUserAreRefusedInTheSameWords) {
  EXPECT_EQ(ErrorText(First(LoginPacket("plain", Proof("wrong")))),
            "1045#28000Access denied for user 'plain' (using password: YES)");
  EXPECT_EQ(ErrorText(First(LoginPacket("nobody", Proof("secret")))),
            "1045#28000Access denied for user 'nobody' (using password: YES)");
  EXPECT_EQ(ErrorText(First(LoginPacket("", Proof("secret")))),
            "1045#28000Access denied for user '' (using password: YES)");
}

TEST_F(Login, HashedAccountTakesTheLongWayOnceThenTheShort) {
  LoginMachine machine = Machine();
  Step step = Give(machine, LoginPacket("hashed", Proof("secret")));
  EXPECT_EQ(step.next, Next::kRead);
  EXPECT_EQ(step.send, std::vector{kFullWanted});
  step = Give(machine, kKeyRequest);
  EXPECT_EQ(step.next, Next::kRead);
  ASSERT_EQ(step.send.size(), 1U);
  ASSERT_EQ(step.send[0].at(0), '\x01');
  step = Give(machine, EncryptPassword(step.send[0].substr(1), "secret", nonce_));
  EXPECT_EQ(step.next, Next::kDone);
  EXPECT_EQ(step.send, std::vector{kOk});

  EXPECT_EQ(First(LoginPacket("hashed", Proof("secret"))).send, (std::vector{kFastOk, kOk}));
}

TEST_F(Login, ClientThatHasThePublicKeyNeedNotAskForIt) {
  LoginMachine machine = Machine();
  (void)Give(machine, LoginPacket("hashed", Proof("secret")));
  const std::string encrypted = EncryptPassword(SharedKey().PublicPem(), "secret", nonce_);
  EXPECT_EQ(Give(machine, encrypted).next, Next::kDone);
}

TEST_F(Login, WrongOrUndecipherableOrUnencryptedPasswordIsRefusedInTheSameWords) {
  const std::string pem = SharedKey().PublicPem();
  std::string broken = EncryptPassword(pem, "secret", nonce_);
  broken[100] = static_cast<char>(broken[100] ^ 4);
  for (const std::string& packet :
       {EncryptPassword(pem, "wrong", nonce_), EncryptPassword(pem, "", nonce_),
        EncryptPassword(pem, "secret", RandomNonce()), broken, std::string("secret\0", 7),
        std::string()}) {
    LoginMachine machine = Machine();
    (void)Give(machine, LoginPacket("hashed", Proof("secret")));
    const Step step = Give(machine, packet);
    EXPECT_EQ(ErrorText(step), "1045#28000Access denied for user 'hashed' (using password: YES)");
    EXPECT_EQ(step.reason.message().find("secret"), std::string::npos);
  }
}

TEST_F(Login, PublicKeyIsGivenOnlyOnce) {
  LoginMachine machine = Machine();
  (void)Give(machine, LoginPacket("hashed", Proof("secret")));
  EXPECT_EQ(Give(machine, kKeyRequest).next, Next::kRead);
  EXPECT_EQ(Give(machine, kKeyRequest).next, Next::kFail);
}

TEST_F(Login, AnotherPluginIsSwitchedToOurs) {
  LoginMachine machine = Machine();
  const std::string native(20, 'n');
  Step step = Give(machine, LoginPacket("plain", native, "mysql_native_password"));
  EXPECT_EQ(step.next, Next::kRead);
  EXPECT_EQ(step.send, std::vector{SwitchRequest()});
  step = Give(machine, Proof("secret"));
  EXPECT_EQ(step.next, Next::kDone);
  EXPECT_EQ(step.send, (std::vector{kFastOk, kOk}));
}

TEST_F(Login, EmptyOrShortScrambleIsAskedForOnceMore) {
  for (const std::string& scramble : {std::string(), std::string(1, '\0'), std::string(31, 'x')}) {
    LoginMachine machine = Machine();
    EXPECT_EQ(Give(machine, LoginPacket("plain", scramble)).send, std::vector{SwitchRequest()});
    EXPECT_EQ(ErrorText(Give(machine, scramble.substr(0, 1))),
              scramble.size() < 2
                  ? "1045#28000Access denied for user 'plain' (using password: NO)"
                  : "1045#28000Access denied for user 'plain' (using password: YES)");
  }
}

TEST_F(Login, PluginNameWithoutItsEndIsTaken) {
  std::string packet = LoginPacket("plain", Proof("secret"));
  packet.pop_back();
  EXPECT_EQ(First(packet).next, Next::kDone);
}

TEST_F(Login, ClientsTooOldAreToldSo) {
  EXPECT_EQ(ErrorText(First(LoginPacket("plain", "", "", kSecure))), "1043#08S01Bad handshake");
  EXPECT_TRUE(ErrorText(First(LoginPacket("plain", Proof("secret"), "", k41 | kSecure)))
                  .starts_with("1251#08004"));
}

TEST_F(Login, EveryCutOfALoginIsABadHandshake) {
  const std::string whole =
      LoginPacket("plain", Proof("secret"), kPlugin, kUsual | kWithDb | kAttributes);
  ASSERT_EQ(First(whole).next, Next::kDone);
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(ErrorText(First(whole.substr(0, size))), "1043#08S01Bad handshake") << size;
  }
}

TEST_F(Login, LengthsThatLieAreABadHandshake) {
  for (const char* length :
       {"\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", "\xFB", "\xFF", "\xFC\xFF\xFF"}) {
    const std::string packet = LoginHead(kUsual) + "plain" + '\0' + length + Proof("secret");
    EXPECT_EQ(ErrorText(First(packet)), "1043#08S01Bad handshake");
  }
}

TEST_F(Login, UserNameIsCutAndMadePrintableInMessages) {
  const Step odd = First(LoginPacket("a'\n\x01\xC3\xA4\\b", Proof("secret")));
  EXPECT_EQ(ErrorText(odd), "1045#28000Access denied for user 'a??????b' (using password: YES)");
  EXPECT_EQ(odd.reason.message(),
            "login of user 'a??????b' refused: unknown user or wrong password");
  const std::string text = ErrorText(First(LoginPacket(std::string(60000, 'u'), Proof("secret"))));
  EXPECT_EQ(text, "1045#28000Access denied for user '" + std::string(96, 'u') +
                      "...' (using password: YES)");
}

TEST_F(Login, NothingIsTakenAfterTheEnd) {
  LoginMachine machine = Machine();
  ASSERT_EQ(Give(machine, LoginPacket("plain", Proof("wrong"))).next, Next::kFail);
  const Step step = Give(machine, LoginPacket("plain", Proof("secret")));
  EXPECT_EQ(step.next, Next::kFail);
  EXPECT_TRUE(step.send.empty());
}

TEST_F(Login, TlsThatWasNotOfferedIsABadHandshake) {
  EXPECT_EQ(ErrorText(First(LoginHead(kUsual | kSsl))), "1043#08S01Bad handshake");
}

TEST_F(LoginWithTls, LoginWithoutItIsRefusedWithAHintAndRightOrWrongDoesNotShow) {
  const std::string right = ErrorText(First(LoginPacket("plain", Proof("secret"))));
  EXPECT_TRUE(right.starts_with("3159#HY000")) << right;
  EXPECT_NE(right.find("SOURCE_SSL=1"), std::string::npos) << right;
  EXPECT_EQ(ErrorText(First(LoginPacket("plain", Proof("wrong")))), right);
}

TEST_F(LoginWithTls, ScrambleComesThroughIt) {
  LoginMachine machine = MachineInTls();
  EXPECT_TRUE(machine.in_tls());
  const Step step = Give(machine, LoginPacket("plain", Proof("secret"), kPlugin, kUsual | kSsl));
  EXPECT_EQ(step.next, Next::kDone);
  EXPECT_EQ(step.send, (std::vector{kFastOk, kOk}));
}

TEST_F(LoginWithTls, ASecondRequestForTlsInsideItIsABadHandshake) {
  LoginMachine machine = MachineInTls();
  EXPECT_EQ(ErrorText(Give(machine, LoginHead(kUsual | kSsl))), "1043#08S01Bad handshake");
}

TEST_F(LoginWithTls, LoginThatCameUnencryptedBehindTheRequestIsNotLookedAt) {
  const Step step = First(LoginPacket("plain", Proof("secret"), kPlugin, kUsual | kSsl));
  EXPECT_EQ(ErrorText(step), "1043#08S01Bad handshake");
}

TEST_F(LoginWithTls, PasswordComesThroughItAsItIs) {
  for (const auto& [packet, answer] : std::vector<std::pair<std::string, std::string>>{
           {std::string("wrong\0", 6),
            "1045#28000Access denied for user 'hashed' (using password: YES)"},
           {std::string("\0", 1), "1045#28000Access denied for user 'hashed' (using password: NO)"},
           {"secret", "1043#08S01Bad handshake"},
           {"\x02", "1043#08S01Bad handshake"},
           {"", "1043#08S01Bad handshake"},
           {std::string("secret\0", 7), ""}}) {
    LoginMachine machine = MachineInTls();
    EXPECT_EQ(Give(machine, LoginPacket("hashed", Proof("secret"))).send, std::vector{kFullWanted});
    const Step step = Give(machine, packet);
    if (!answer.empty()) {
      EXPECT_EQ(ErrorText(step), answer);
    } else {
      EXPECT_EQ(step.next, Next::kDone);
      EXPECT_EQ(step.send, std::vector{kOk});
    }
  }
}

}  // namespace
}  // namespace tidemark
