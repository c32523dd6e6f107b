#include "replication/source/mysql_error.h"

#include <errmsg.h>
#include <mysqld_error.h>

#include <algorithm>
#include <cctype>

namespace tidemark {
namespace {

struct Meaning {
  Code code;
  const char* what;
  std::string hint;
};

// ER_SOURCE_FATAL_ERROR_READING_BINLOG (1236) is the dump thread's only number; the text tells the
// cases apart. 8.0 before 8.0.26 says "master" and "slave" where later servers say "source" and
// "replica": the needles avoid both.
struct DumpRefusal {
  const char* needle;  // lower case
  Code code;
  const char* what;
  const char* hint;
};
constexpr DumpRefusal kDumpRefusals[] = {
    {"purged required binary logs", Code::kGap, "has purged transactions that the archive lacks",
     "`pitr check` names the missing GTIDs; only another server that still has them, or a base "
     "backup taken after the gap, can help. Then raise binlog_expire_logs_seconds on the source"},
    {"more gtids than the", Code::kDivergence, "lacks transactions that the archive has",
     "the source was rewound, restored or lost its last binary log; `pitr check` names the GTIDs. "
     "Archive the new history under another source name"},
    {"same server_uuid/server_id", Code::kSourceRefused,
     "gave our place to another replica with the same identity",
     "give every replica and every tidemarkd a server_id and server_uuid of its own"},
    {"binary log is not open", Code::kSourceRefused, "writes no binary log",
     "start the source without skip-log-bin"},
    {"could not find first log file name", Code::kGap, "no longer has the binary log asked for",
     "`SHOW BINARY LOGS` on the source lists what is left"},
    {"could not find next log", Code::kGap, "lost a binary log in the middle of its list",
     "somebody removed a file by hand; use PURGE BINARY LOGS instead"},
    {"position > file size", Code::kDivergence, "has a shorter binary log than asked for",
     "the file was truncated by a crash, or it is another server's"},
    {"position < 4", Code::kUsage, "was asked for a position before the first event", ""},
    {"server_id is 0", Code::kSourceRefused, "has server_id 0", "set server_id on the source"},
    {"anonymous", Code::kSourceRefused, "still has transactions without a GTID to send",
     "purge the binary logs from before gtid_mode=ON, after taking a new base backup"},
    {"gtid_mode", Code::kSourceRefused, "does not run with gtid_mode=ON",
     "set enforce_gtid_consistency=ON and gtid_mode=ON on the source"},
    {"checksum that", Code::kSourceRefused, "uses a checksum that we did not announce", ""},
    {"crc check failed", Code::kCorruption, "found its binary log damaged", ""},
    {"corrupted data in log event", Code::kCorruption, "found its binary log damaged", ""},
    {"truncated in the middle of event", Code::kCorruption, "found its binary log damaged", ""},
    {"invalid format description", Code::kCorruption, "found its binary log damaged", ""},
    {"invalid event in binary log", Code::kCorruption, "found its binary log damaged", ""},
    {"bad magic number", Code::kCorruption, "found its binary log damaged", ""},
    {"event too big", Code::kCorruption, "found its binary log damaged", ""},
};

std::string Printable(std::string_view text) {
  std::string clean(text);
  for (char& c : clean) {
    auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) c = ' ';
  }
  return clean;
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

Meaning DumpMeaning(std::string_view text) {
  std::string lower = Lower(text);
  for (const DumpRefusal& refusal : kDumpRefusals) {
    if (lower.find(refusal.needle) != std::string::npos) {
      return {refusal.code, refusal.what, refusal.hint};
    }
  }
  return {Code::kSourceUnavailable, "stopped sending its binary log", "see the source's error log"};
}

// A handshake cut short by a server that stops or a port forwarder without a server is no verdict
// on certificates.
bool HandshakeWasCut(std::string_view text) {
  std::string lower = Lower(text);
  return lower.find("unexpected eof") != std::string::npos ||
         lower.find("error:00000005") != std::string::npos ||
         lower.find("error:00000000") != std::string::npos ||
         lower.find("connection reset") != std::string::npos;
}

Meaning AccessMeaning(const MysqlErrorContext& context) {
  if (context.phase == SourcePhase::kLogin) {
    return {Code::kSourceRefused, "refused the login",
            "check user '" + context.user +
                "', its host part and the password file or variable; it needs: " +
                NeededGrant(context.user)};
  }
  return {Code::kSourceRefused, "refused a statement for lack of privileges",
          "on the source: " + NeededGrant(context.user)};
}

Meaning TlsMeaning(std::string_view text) {
  if (HandshakeWasCut(text)) {
    return {Code::kSourceUnavailable, "broke off the TLS handshake", ""};
  }
  return {Code::kSourceRefused, "and we could not agree on TLS",
          "check the tls mode, the CA file, the host name in the source's certificate and, for an "
          "account with REQUIRE X509, the client certificate and key"};
}

Meaning AccountMeaning(unsigned number, const MysqlErrorContext& context) {
  if (number == ER_MUST_CHANGE_PASSWORD || number == ER_MUST_CHANGE_PASSWORD_LOGIN) {
    return {Code::kSourceRefused, "wants a new password first",
            "on the source: ALTER USER '" + context.user + "'@'…' IDENTIFIED BY …"};
  }
  if (number == ER_HOST_NOT_PRIVILEGED) {
    return {Code::kSourceRefused, "accepts no connection from this host",
            "create '" + context.user + "' with a host part that matches this machine"};
  }
  return {Code::kSourceRefused, "has locked the account or this host",
          "on the source: ALTER USER '" + context.user + "'@'…' ACCOUNT UNLOCK"};
}

Meaning AuthenticationMeaning() {
  return {Code::kSourceRefused, "wants an authentication that this connection cannot do",
          "caching_sha2_password sends a password only over TLS, over a socket, or sealed with the "
          "source's public key: use tls mode required, or allow getting the server's public key"};
}

Meaning MeaningOf(unsigned number, std::string_view text, const MysqlErrorContext& context) {
  switch (number) {
    case ER_ACCESS_DENIED_ERROR:
    case ER_ACCESS_DENIED_NO_PASSWORD_ERROR:
    case ER_DBACCESS_DENIED_ERROR:
    case ER_TABLEACCESS_DENIED_ERROR:
    case ER_SPECIFIC_ACCESS_DENIED_ERROR: return AccessMeaning(context);
    case ER_HOST_NOT_PRIVILEGED:
    case ER_HOST_IS_BLOCKED:
    case ER_ACCOUNT_HAS_BEEN_LOCKED:
    case ER_USER_ACCESS_DENIED_FOR_USER_ACCOUNT_BLOCKED_BY_PASSWORD_LOCK:
    case ER_MUST_CHANGE_PASSWORD:
    case ER_MUST_CHANGE_PASSWORD_LOGIN: return AccountMeaning(number, context);
    case CR_SSL_CONNECTION_ERROR: return TlsMeaning(text);
    case ER_SECURE_TRANSPORT_REQUIRED:
      return {Code::kSourceRefused, "accepts only TLS", "set tls mode required or stricter"};
    case ER_NOT_SUPPORTED_AUTH_MODE:
    case CR_AUTH_PLUGIN_CANNOT_LOAD:
    case CR_AUTH_PLUGIN_ERR: return AuthenticationMeaning();
    case ER_SOURCE_FATAL_ERROR_READING_BINLOG: return DumpMeaning(text);
    case ER_UNKNOWN_SYSTEM_VARIABLE:
    case ER_NO_BINARY_LOGGING:
    case CR_VERSION_ERROR:
      return {Code::kSourceRefused, "is not a MySQL 8.0 or later that writes a binary log", ""};
    case CR_UNKNOWN_HOST:
      return {Code::kSourceUnavailable, "has a host name that cannot be resolved",
              "check the host name and the resolver"};
    case CR_CONNECTION_ERROR:
    case CR_CONN_HOST_ERROR:
      return {Code::kSourceUnavailable, "cannot be reached",
              "is the server up, and is this its address?"};
    case CR_NET_PACKET_TOO_LARGE:
      return {Code::kCorruption, "sent a packet longer than any event may be", ""};
    case ER_NET_PACKET_TOO_LARGE:
      return {Code::kSourceRefused, "cannot take a request this long",
              "raise max_allowed_packet on the source"};
    default: return {Code::kSourceUnavailable, "is not available", ""};
  }
}

}  // namespace

std::string NeededGrant(std::string_view user) {
  return "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '" + Printable(user) + "'@'…'";
}

Status StatusFromMysqlError(unsigned number, std::string_view text,
                            const MysqlErrorContext& context) {
  Meaning meaning = MeaningOf(number, text, context);
  std::string message = "source " + context.endpoint + " " + meaning.what;
  if (!context.identity.empty()) message += " (we are " + context.identity + ")";
  message += ": " + Printable(text) + " (MySQL error " + std::to_string(number) + ")";
  return {meaning.code, std::move(message), std::move(meaning.hint)};
}

}  // namespace tidemark
