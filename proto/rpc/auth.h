// Who calls, and what he may do: bearer tokens, client certificates, and nobody in particular.
//
// The access file has a line for each way in; "#" begins a comment:
//   NAME ROLE sha256:HEX           the holder of the token whose SHA-256 this is
//   NAME ROLE cn:COMMON NAME       a verified client certificate with this subject
// ROLE is reader, restorer or admin. A name may stand on several lines, for tokens that are being
// replaced. Tokens are 256 random bits (NewToken): nobody can guess one from its hash, which is
// what salt and slow hashing are for with passwords; plain SHA-256 is right here. Compared are
// hashes, all of them, each in constant time: how long it takes tells nothing.
//
// Values, immutable once loaded; read by any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proto/rpc/rpc_error.h"
#include "proto/rpc/service_registry.h"
#include "replication/base/status.h"

namespace tidemark::rpc {

inline constexpr size_t kAccessFileBytesMax = 1 << 20;

const char* RoleName(Role role);  // "none", "reader", "restorer", "admin"
std::optional<Role> RoleByName(std::string_view name);

std::string NewToken();                         // to be shown once and kept nowhere
std::string TokenHash(std::string_view token);  // as it stands in the file: "sha256:…"

// A caller as found. Which entry it was is kept, so that a revoked one is noticed later.
struct Caller {
  std::string identity = "anonymous";
  Role role = Role::kNone;
  std::string digest;       // the token's, 32 bytes; "" if it was none
  std::string common_name;  // the certificate's; "" if it was none
  bool known() const { return !digest.empty() || !common_name.empty(); }
};

// What a request shows.
struct Credentials {
  std::optional<std::string> authorization;  // the header
  std::string common_name;                   // of a certificate that TLS has verified
  // On this machine (a loopback address or a unix socket) and not a page in somebody's browser:
  // who has neither token nor certificate gets this role.
  Role anonymous_role = Role::kNone;
};

class AccessList {
 public:
  // kUsage: names the line that is wrong. An empty list lets nobody in.
  static Result<AccessList> Parse(std::string_view text, const std::string& file);
  // kUsage also if anybody but its owner or group could change the file.
  static Result<AccessList> Load(const std::string& file);

  // nullopt: it shows credentials that are not on the list (an unknown certificate without a token
  // counts as none).
  std::optional<Caller> Identify(const Credentials& credentials) const;
  // Whether `caller` is still on the list with at least its role.
  bool StillHas(const Caller& caller) const;

 private:
  struct Entry {
    std::string name;
    Role role = Role::kNone;
    std::string digest;
    std::string common_name;
  };
  static Result<Entry> ParseLine(std::string_view line);
  Status Add(Entry entry);
  std::optional<Caller> ByDigest(const std::string& digest) const;
  std::optional<Caller> ByCommonName(const std::string& common_name) const;

  std::vector<Entry> entries_;
};

// nullopt: `caller` may call what needs `needed`. Else unauthenticated or permission_denied.
std::optional<RpcError> Refuse(const Caller& caller, Role needed);

}  // namespace tidemark::rpc
