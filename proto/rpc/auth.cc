#include "proto/rpc/auth.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace tidemark::rpc {
namespace {

constexpr size_t kDigestBytes = 32;
constexpr size_t kTokenBytes = 32;
constexpr size_t kTokenTextMax = 4096;
constexpr std::string_view kHashPrefix = "sha256:";
constexpr std::string_view kNamePrefix = "cn:";
constexpr std::string_view kBearer = "bearer ";
constexpr const char* kHex = "0123456789abcdef";

std::string Sha256(std::string_view bytes) {
  std::string digest(kDigestBytes, '\0');
  unsigned int size = 0;
  TM_CHECK(EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()),
                      &size, EVP_sha256(), nullptr) == 1);
  return digest;
}

std::string ToHex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) {
    text += kHex[static_cast<uint8_t>(byte) >> 4];
    text += kHex[static_cast<uint8_t>(byte) & 15];
  }
  return text;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> FromHex(std::string_view text) {
  if (text.size() != 2 * kDigestBytes) return std::nullopt;
  std::string bytes;
  for (size_t at = 0; at < text.size(); at += 2) {
    const int high = HexDigit(text[at]);
    const int low = HexDigit(text[at + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(high << 4 | low));
  }
  return bytes;
}

std::string_view Trimmed(std::string_view text) {
  const std::string_view spaces = " \t\r";
  const size_t first = text.find_first_not_of(spaces);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(spaces) - first + 1);
}

std::string_view TakeWord(std::string_view* text) {
  const size_t end = std::min(text->find_first_of(" \t"), text->size());
  const std::string_view word = text->substr(0, end);
  *text = Trimmed(text->substr(end));
  return word;
}

// The token in "Bearer TOKEN"; "" if it is not that.
std::string_view BearerToken(std::string_view authorization) {
  if (authorization.size() < kBearer.size() || authorization.size() > kTokenTextMax) return {};
  for (size_t at = 0; at < kBearer.size(); ++at) {
    const char c = authorization[at];
    if ((c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) != kBearer[at]) return {};
  }
  return Trimmed(authorization.substr(kBearer.size()));
}

Result<std::string> ReadSmallFile(const std::string& file) {
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0)
    return Status(Code::kUsage, "cannot read access file " + file + ": " + std::strerror(errno));
  struct Closer {
    int descriptor;
    ~Closer() { ::close(descriptor); }
  } const closer{descriptor};
  struct stat facts = {};
  if (::fstat(descriptor, &facts) != 0 || !S_ISREG(facts.st_mode))
    return Status(Code::kUsage, "access file " + file + " is not a file");
  if (facts.st_mode & S_IWOTH)
    return Status(Code::kUsage, "access file " + file + " can be changed by anybody",
                  "chmod o-w " + file);
  std::string text(kAccessFileBytesMax + 1, '\0');
  size_t size = 0;
  for (ssize_t got = 1; got != 0 && size < text.size();) {
    got = ::read(descriptor, text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      return Status(Code::kIo, "cannot read access file " + file + ": " + std::strerror(errno));
    size += static_cast<size_t>(got);
  }
  if (size > kAccessFileBytesMax)
    return Status(Code::kUsage, "access file " + file + " is longer than 1 MiB");
  text.resize(size);
  return text;
}

}  // namespace

const char* RoleName(Role role) {
  switch (role) {
    case Role::kReader: return "reader";
    case Role::kRestorer: return "restorer";
    case Role::kAdmin: return "admin";
    case Role::kNone: break;
  }
  return "none";
}

std::optional<Role> RoleByName(std::string_view name) {
  for (const Role role : {Role::kNone, Role::kReader, Role::kRestorer, Role::kAdmin}) {
    if (name == RoleName(role)) return role;
  }
  return std::nullopt;
}

std::string NewToken() {
  std::string random(kTokenBytes, '\0');
  TM_CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(random.data()), kTokenBytes) == 1);
  return "tm_" + ToHex(random);
}

std::string TokenHash(std::string_view token) {
  return std::string(kHashPrefix) + ToHex(Sha256(token));
}

Result<AccessList::Entry> AccessList::ParseLine(std::string_view line) {
  Entry entry;
  entry.name = TakeWord(&line);
  const std::string_view role = TakeWord(&line);
  const std::optional<Role> known = RoleByName(role);
  if (!known || *known == Role::kNone)
    return Status(Code::kUsage, "'" + std::string(role) + "' is not a role",
                  "reader, restorer or admin");
  entry.role = *known;
  if (line.starts_with(kHashPrefix)) {
    const std::optional<std::string> digest = FromHex(line.substr(kHashPrefix.size()));
    if (!digest)
      return Status(Code::kUsage, "sha256: is not followed by 64 hexadecimal digits",
                    "the hash of the token goes here, not the token");
    entry.digest = *digest;
    return entry;
  }
  if (!line.starts_with(kNamePrefix) || line.size() == kNamePrefix.size())
    return Status(Code::kUsage, "a line is NAME ROLE sha256:HEX or NAME ROLE cn:COMMON NAME");
  entry.common_name = line.substr(kNamePrefix.size());
  return entry;
}

Status AccessList::Add(Entry entry) {
  for (const Entry& other : entries_) {
    if (other.digest == entry.digest && other.common_name == entry.common_name)
      return Status(Code::kUsage, "the same as the line of '" + other.name + "'");
  }
  entries_.push_back(std::move(entry));
  return OkStatus();
}

Result<AccessList> AccessList::Parse(std::string_view text, const std::string& file) {
  AccessList list;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = Trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#') continue;
    Result<Entry> entry = ParseLine(line);
    Status added = entry.ok() ? list.Add(std::move(*entry)) : entry.error();
    if (!added.ok())
      return std::move(added).WithContext("access file " + file + ", line " +
                                          std::to_string(number));
  }
  return list;
}

Result<AccessList> AccessList::Load(const std::string& file) {
  TM_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(file));
  return Parse(text, file);
}

std::optional<Caller> AccessList::ByDigest(const std::string& digest) const {
  const Entry* found = nullptr;
  for (const Entry& entry : entries_) {  // to the end, whichever it is
    const std::string& other =
        entry.digest.empty() ? std::string(kDigestBytes, '\0') : entry.digest;
    const bool same = CRYPTO_memcmp(other.data(), digest.data(), kDigestBytes) == 0;
    if (same && !entry.digest.empty()) found = &entry;
  }
  if (!found) return std::nullopt;
  return Caller{found->name, found->role, digest, {}};
}

std::optional<Caller> AccessList::ByCommonName(const std::string& common_name) const {
  for (const Entry& entry : entries_) {
    if (!entry.common_name.empty() && entry.common_name == common_name)
      return Caller{entry.name, entry.role, {}, common_name};
  }
  return std::nullopt;
}

std::optional<Caller> AccessList::Identify(const Credentials& credentials) const {
  if (credentials.authorization) {
    const std::string_view token = BearerToken(*credentials.authorization);
    if (token.empty()) return std::nullopt;
    return ByDigest(Sha256(token));
  }
  if (!credentials.common_name.empty()) {
    std::optional<Caller> known = ByCommonName(credentials.common_name);
    if (known) return known;
  }
  Caller anonymous;
  anonymous.role = credentials.anonymous_role;
  return anonymous;
}

bool AccessList::StillHas(const Caller& caller) const {
  if (!caller.known()) return true;
  const std::optional<Caller> now =
      caller.digest.empty() ? ByCommonName(caller.common_name) : ByDigest(caller.digest);
  return now && now->role >= caller.role;
}

std::optional<RpcError> Refuse(const Caller& caller, Role needed) {
  if (caller.role >= needed) return std::nullopt;
  if (!caller.known())
    return RpcError{RpcCode::kUnauthenticated, "this needs a token: Authorization: Bearer …", {}};
  return RpcError{RpcCode::kPermissionDenied,
                  "'" + caller.identity + "' has the role " + RoleName(caller.role) +
                      ", and this needs " + RoleName(needed),
                  {}};
}

}  // namespace tidemark::rpc
