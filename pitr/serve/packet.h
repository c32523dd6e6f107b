// MySQL's wire protocol, as far as a source speaks it to replicas: packets, and the payloads of a
// server's answers. Pure; results own their bytes. Hostile input is kCorruption, never more.
// Source of facts: MySQL 9.7 sql-common/net_serv.cc, sql/protocol_classic.cc, sql/rpl_source.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pitr/serve/event_packetizer.h"  // IWYU pragma: export
#include "replication/base/bytes.h"
#include "replication/base/status.h"

namespace tidemark {

inline constexpr size_t kPacketHeaderSize = 4;
inline constexpr size_t kPacketPayloadMax = 0xFFFFFF;  // a payload of this size goes on in the next
// What a client may send us in one packet: no statement, login or GTID set of a replica is longer.
// (A dump request carries the replica's GTID set: 40 bytes a UUID and 16 an interval, which become
// four times as many in memory, and are kept twice.)
inline constexpr size_t kLoginPacketBytesMax = 64 << 10;
inline constexpr size_t kCommandPacketBytesMax = 1 << 20;
inline constexpr size_t kErrorMessageBytesMax = 511;  // MYSQL_ERRMSG_SIZE less its NUL
inline constexpr size_t kReportedNameBytesMax = 255;  // host, user, password of a registration
inline constexpr size_t kBinlogNameBytesMax = 512;    // FN_REFLEN

struct PacketHeader {
  uint32_t payload_bytes = 0;
  uint8_t sequence = 0;
};
PacketHeader ReadPacketHeader(const uint8_t* four_bytes);
// One payload as one packet, or several if it is long. `sequence` is that of the first, and is
// moved on.
void AppendPacket(std::string_view payload, uint8_t* sequence, std::string* out);

// Payloads (without packet headers).
std::string OkPayload();
std::string EofPayload();
// `sqlstate` has five characters. The message is cut to kErrorMessageBytesMax, between characters.
std::string ErrorPayload(uint16_t number, std::string_view sqlstate, std::string_view message);

// A text result set: payloads in order (column count, columns, EOF, rows, EOF). Clients must not
// have been offered CLIENT_DEPRECATE_EOF. Every row has a cell for each column; nullopt is NULL.
using ResultRow = std::vector<std::optional<std::string>>;
std::vector<std::string> ResultSetPayloads(const std::vector<std::string>& columns,
                                           const std::vector<ResultRow>& rows);

// Commands that we know. Any other value is one that we refuse.
enum class Command : uint8_t {
  kQuit = 1,
  kInitDb = 2,
  kQuery = 3,
  kStatistics = 9,
  kPing = 14,
  kBinlogDump = 18,
  kRegisterReplica = 21,
  kSetOption = 27,
  kBinlogDumpGtid = 30,
  kResetConnection = 31,
};

// What a replica says of itself. The password that it sends as well is not kept.
struct RegisterReplica {
  uint32_t server_id = 0;
  std::string host;
  std::string user;
  uint16_t port = 0;
};
Result<RegisterReplica> ParseRegisterReplica(Bytes payload);  // behind the command byte

inline constexpr uint16_t kDumpNonBlocking = 1;  // end the stream at the source's end
struct DumpGtid {
  uint16_t flags = 0;
  uint32_t server_id = 0;
  std::string file;
  uint64_t position = 0;
  std::string gtid_set;  // encoded: GtidSet::Decode
};
Result<DumpGtid> ParseDumpGtid(Bytes payload);  // behind the command byte

}  // namespace tidemark
