#include "pitr/serve/login.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <utility>

#include "pitr/serve/packet.h"

namespace tidemark {
namespace {

constexpr uint32_t kLongPassword = 1 << 0;
constexpr uint32_t kLongFlag = 1 << 2;
constexpr uint32_t kConnectWithDb = 1 << 3;
constexpr uint32_t kProtocol41 = 1 << 9;
constexpr uint32_t kSsl = 1 << 11;
constexpr uint32_t kTransactions = 1 << 13;
constexpr uint32_t kSecureConnection = 1 << 15;
constexpr uint32_t kPluginAuth = 1 << 19;
constexpr uint32_t kConnectAttributes = 1 << 20;
constexpr uint32_t kLongAuthData = 1 << 21;  // CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
constexpr uint32_t kOffered = kLongPassword | kLongFlag | kConnectWithDb | kProtocol41 |
                              kTransactions | kSecureConnection | kPluginAuth | kConnectAttributes |
                              kLongAuthData;

constexpr std::string_view kPlugin = "caching_sha2_password";
constexpr uint8_t kCharsetUtf8mb4 = 255;
constexpr uint16_t kStatusAutocommit = 2;
constexpr size_t kNonceHead = 8;           // in the greeting's first half
constexpr size_t kLoginHeadBytes = 32;     // capabilities, packet size, character set, filler
constexpr size_t kUserShownBytesMax = 96;  // 32 characters, MySQL's limit of a user name

// Behind the byte that says "more authentication data".
constexpr std::string_view kFastOk("\x01\x03", 2);
constexpr std::string_view kFullWanted("\x01\x04", 2);
constexpr uint8_t kPublicKeyRequest = 2;

struct LoginPacket {
  uint32_t capabilities = 0;
  std::string user;
  Bytes auth_data;
  std::string_view plugin;
};

// Up to a NUL, which is taken too; not ok if there is none.
std::string_view TakeTerminated(ByteReader* reader, Bytes payload) {
  const std::string_view left = AsText(payload.subspan(reader->position()));
  const size_t size = left.find('\0');
  const Bytes taken = reader->Take(size == std::string_view::npos ? left.size() + 1 : size);
  reader->Skip(1);
  return AsText(taken);
}

// HandshakeResponse41. The database is of no interest: there are none here; nor are the attributes,
// but they have to fit.
Result<LoginPacket> ParseLogin(Bytes payload) {
  const Status broken(Code::kCorruption, "the login packet is malformed");
  ByteReader reader(payload);
  LoginPacket login;
  login.capabilities = reader.U32();
  reader.Skip(kLoginHeadBytes - 4);
  if (!reader.ok()) return broken;
  login.user = TakeTerminated(&reader, payload);
  if (!reader.ok()) return broken;
  const bool long_data = (login.capabilities & kLongAuthData) != 0;
  login.auth_data = reader.Take(long_data ? reader.PackedInteger() : reader.U8());
  if ((login.capabilities & kConnectWithDb) != 0 && reader.ok()) TakeTerminated(&reader, payload);
  if (!reader.ok()) return broken;
  if ((login.capabilities & kPluginAuth) != 0) {
    // Some clients leave out the NUL, or all of it, where nothing follows.
    const bool terminated = AsText(payload).find('\0', reader.position()) != std::string_view::npos;
    login.plugin = terminated ? TakeTerminated(&reader, payload) : AsText(reader.Rest());
  }
  if ((login.capabilities & kConnectAttributes) != 0) reader.Skip(reader.PackedInteger());
  if (!reader.ok()) return broken;
  return login;
}

// For messages and logs: whatever a client calls itself is shown as one short line.
std::string Printable(std::string_view user) {
  std::string shown(user.substr(0, kUserShownBytesMax));
  for (char& c : shown) {
    if (c < ' ' || c > '~' || c == '\'' || c == '\\') c = '?';
  }
  if (user.size() > kUserShownBytesMax) shown += "...";
  return shown;
}

}  // namespace

LoginMachine::LoginMachine(Accounts& accounts, RsaKey& key, LoginOptions options,
                           const Nonce& nonce)
    : accounts_(accounts), key_(key), options_(std::move(options)), nonce_(nonce) {}

// Protocol::HandshakeV10.
LoginMachine::Step LoginMachine::Greet() {
  const uint32_t capabilities = kOffered | (options_.tls_offered ? kSsl : 0);
  const Bytes nonce(nonce_);
  std::string greeting;
  ByteWriter(&greeting)
      .U8(10)
      .Text(options_.server_version)
      .U8(0)
      .U32(options_.connection_id)
      .Raw(nonce.first(kNonceHead))
      .U8(0)
      .U16(static_cast<uint16_t>(capabilities))
      .U8(kCharsetUtf8mb4)
      .U16(kStatusAutocommit)
      .U16(static_cast<uint16_t>(capabilities >> 16))
      .U8(static_cast<uint8_t>(nonce.size() + 1))
      .Text(std::string_view("\0\0\0\0\0\0\0\0\0\0", 10))
      .Raw(nonce.subspan(kNonceHead))
      .U8(0)
      .Text(kPlugin)
      .U8(0);
  return {.next = Next::kRead, .send = {std::move(greeting)}};
}

LoginMachine::Step LoginMachine::OnPacket(Bytes payload) {
  switch (state_) {
    case State::kGreeted:
    case State::kGreetedInTls: return OnLogin(payload);
    case State::kSwitched: return OnScramble(payload);
    case State::kWantsPassword:
    case State::kWantsEncrypted: return in_tls_ ? OnPasswordInTls(payload) : OnPassword(payload);
    case State::kOver: break;
  }
  return {.next = Next::kFail,
          .reason = Status(Code::kCorruption, "a packet came after the login was over")};
}

LoginMachine::Step LoginMachine::OnLogin(Bytes payload) {
  ByteReader head(payload);
  const uint32_t capabilities = head.U32();
  if (!head.ok()) return RefuseHandshake("the login packet is cut short");
  if ((capabilities & kProtocol41) == 0) return RefuseHandshake("a client older than MySQL 4.1");
  if ((capabilities & kSsl) != 0 && state_ == State::kGreeted) {
    if (!options_.tls_offered) return RefuseHandshake("the client wants TLS, which is not offered");
    // A login that came unencrypted, although the client was about to encrypt it, is not looked at.
    if (payload.size() != kLoginHeadBytes) return RefuseHandshake("a malformed request for TLS");
    state_ = State::kGreetedInTls;
    in_tls_ = true;
    return {.next = Next::kStartTls};
  }
  Result<LoginPacket> login = ParseLogin(payload);
  if (!login.ok()) return RefuseHandshake(login.error().message());
  user_ = std::move(login->user);
  if (options_.tls_required && !in_tls_) {
    return Fail(ErrorPayload(3159, "HY000",
                             "Connections using insecure transport are prohibited here. Hint: use "
                             "SOURCE_SSL=1 in CHANGE REPLICATION SOURCE TO, or "
                             "--ssl-mode=REQUIRED"),
                Status(Code::kSourceRefused,
                       "user '" + Printable(user_) + "' came without TLS, which is required"));
  }
  if ((capabilities & kPluginAuth) == 0) {
    return Fail(ErrorPayload(1251, "08004",
                             "Client does not support authentication protocol requested by server; "
                             "consider upgrading MySQL client"),
                Status(Code::kSourceRefused, "the client of user '" + Printable(user_) +
                                                 "' knows no authentication plugins"));
  }
  if (login->plugin != kPlugin || login->auth_data.size() != sizeof(Digest)) return SwitchPlugin();
  return OnScramble(login->auth_data);
}

// Also for a client that has the right plugin but sent no scramble: it may not have had our nonce
// yet.
LoginMachine::Step LoginMachine::SwitchPlugin() {
  state_ = State::kSwitched;
  std::string request;
  ByteWriter(&request).U8(0xFE).Text(kPlugin).U8(0).Raw(nonce_).U8(0);
  return {.next = Next::kRead, .send = {std::move(request)}};
}

LoginMachine::Step LoginMachine::OnScramble(Bytes scramble) {
  // One NUL is how a client says that it has no password.
  const bool none = scramble.empty() || (scramble.size() == 1 && scramble[0] == 0);
  if (none) return Refuse(false, "no password given");
  const std::optional<bool> proved = accounts_.CheckScramble(user_, nonce_, scramble);
  if (!proved) {
    state_ = State::kWantsPassword;
    return {.next = Next::kRead, .send = {std::string(kFullWanted)}};
  }
  if (!*proved) return Refuse(true, "unknown user or wrong password");
  return Accept({std::string(kFastOk)});
}

LoginMachine::Step LoginMachine::OnPasswordInTls(Bytes payload) {
  const std::string_view text = AsText(payload);
  if (!text.ends_with('\0')) return RefuseHandshake("the password packet is malformed");
  if (text.size() == 1) return Refuse(false, "no password given");
  if (!accounts_.CheckPassword(user_, text.substr(0, text.size() - 1))) {
    return Refuse(true, "wrong password");
  }
  return Accept({});
}

LoginMachine::Step LoginMachine::OnPassword(Bytes payload) {
  const bool asks_for_key = payload.size() == 1 && payload[0] == kPublicKeyRequest;
  if (asks_for_key && state_ == State::kWantsPassword) {
    const std::string pem = key_.PublicPem();
    if (pem.empty()) return Refuse(true, "no RSA key could be made");
    state_ = State::kWantsEncrypted;
    return {.next = Next::kRead, .send = {"\x01" + pem}};
  }
  Result<std::string> password = key_.Decrypt(payload, nonce_);
  if (!password.ok()) return Refuse(true, password.error().message());
  const bool right = accounts_.CheckPassword(user_, *password);
  OPENSSL_cleanse(password->data(), password->size());
  if (!right) return Refuse(true, "wrong password");
  return Accept({});
}

LoginMachine::Step LoginMachine::Accept(std::vector<std::string> send) {
  state_ = State::kOver;
  send.push_back(OkPayload());
  return {.next = Next::kDone, .send = std::move(send)};
}

LoginMachine::Step LoginMachine::Refuse(bool password_used, const std::string& why) {
  const std::string denied = "Access denied for user '" + Printable(user_) +
                             "' (using password: " + (password_used ? "YES" : "NO") + ")";
  return Fail(
      ErrorPayload(1045, "28000", denied),
      Status(Code::kSourceRefused, "login of user '" + Printable(user_) + "' refused: " + why));
}

LoginMachine::Step LoginMachine::RefuseHandshake(const std::string& why) {
  return Fail(ErrorPayload(1043, "08S01", "Bad handshake"),
              Status(Code::kCorruption, "bad handshake: " + why));
}

LoginMachine::Step LoginMachine::Fail(std::string error_payload, Status reason) {
  state_ = State::kOver;
  return {.next = Next::kFail, .send = {std::move(error_payload)}, .reason = std::move(reason)};
}

}  // namespace tidemark
