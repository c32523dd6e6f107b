#include "pitr/serve/packet.h"

#include <algorithm>

namespace tidemark {
namespace {

constexpr uint8_t kOkMarker = 0x00;
constexpr uint8_t kNullMarker = 0xFB;
constexpr uint8_t kEofMarker = 0xFE;
constexpr uint8_t kErrorMarker = 0xFF;
constexpr uint16_t kStatusAutocommit = 0x0002;  // SERVER_STATUS_AUTOCOMMIT

// A column's definition, behind its names.
constexpr uint8_t kFixedPartBytes = 12;
constexpr uint16_t kUtf8mb4 = 45;        // utf8mb4_general_ci, which every client knows
constexpr uint32_t kColumnBytes = 1024;  // for display only
constexpr uint8_t kTypeVarString = 0xFD;
constexpr uint8_t kNotFixedDecimals = 31;

void AppendPackedInteger(uint64_t value, std::string* out) {
  ByteWriter writer(out);
  if (value < 0xFB) {
    writer.U8(static_cast<uint8_t>(value));
  } else if (value < 1 << 16) {
    writer.U8(0xFC).U16(static_cast<uint16_t>(value));
  } else if (value < 1 << 24) {
    writer.U8(0xFD).U16(static_cast<uint16_t>(value)).U8(static_cast<uint8_t>(value >> 16));
  } else {
    writer.U8(0xFE).U64(value);
  }
}

void AppendPackedText(std::string_view text, std::string* out) {
  AppendPackedInteger(text.size(), out);
  out->append(text);
}

// Everything is text in a text result set; clients convert by what they expect.
std::string ColumnPayload(std::string_view name) {
  std::string out;
  AppendPackedText("def", &out);
  for (int empty = 0; empty < 3; ++empty) AppendPackedText("", &out);  // schema, table, its alias
  AppendPackedText(name, &out);
  AppendPackedText("", &out);  // the column's own name
  ByteWriter(&out)
      .U8(kFixedPartBytes)
      .U16(kUtf8mb4)
      .U32(kColumnBytes)
      .U8(kTypeVarString)
      .U16(0)  // flags
      .U8(kNotFixedDecimals)
      .U16(0);  // filler
  return out;
}

std::string RowPayload(const ResultRow& row) {
  std::string out;
  for (const std::optional<std::string>& cell : row) {
    if (cell) {
      AppendPackedText(*cell, &out);
    } else {
      out.push_back(static_cast<char>(kNullMarker));
    }
  }
  return out;
}

// The longest beginning of at most `bytes_max` bytes that does not end inside a UTF-8 character.
std::string_view CutBetweenCharacters(std::string_view text, size_t bytes_max) {
  if (text.size() <= bytes_max) return text;
  size_t end = bytes_max;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

Status Malformed(const char* command) {
  return {Code::kCorruption, std::string("malformed ") + command + " packet"};
}

}  // namespace

PacketHeader ReadPacketHeader(const uint8_t* four_bytes) {
  PacketHeader header;
  header.payload_bytes = static_cast<uint32_t>(LoadLittleEndian(four_bytes, 3));
  header.sequence = four_bytes[3];
  return header;
}

void AppendPacket(std::string_view payload, uint8_t* sequence, std::string* out) {
  bool full = true;
  while (full) {
    const std::string_view part = payload.substr(0, kPacketPayloadMax);
    payload.remove_prefix(part.size());
    full = part.size() == kPacketPayloadMax;
    const auto size = static_cast<uint32_t>(part.size());
    ByteWriter(out).U32(size | static_cast<uint32_t>((*sequence)++) << 24).Text(part);
  }
}

std::string OkPayload() {
  std::string out;
  // No rows affected, no insert id, no warnings.
  ByteWriter(&out).U8(kOkMarker).U8(0).U8(0).U16(kStatusAutocommit).U16(0);
  return out;
}

std::string EofPayload() {
  std::string out;
  ByteWriter(&out).U8(kEofMarker).U16(0).U16(kStatusAutocommit);
  return out;
}

std::string ErrorPayload(uint16_t number, std::string_view sqlstate, std::string_view message) {
  TM_CHECK(sqlstate.size() == 5);
  std::string out;
  ByteWriter(&out)
      .U8(kErrorMarker)
      .U16(number)
      .U8('#')
      .Text(sqlstate)
      .Text(CutBetweenCharacters(message, kErrorMessageBytesMax));
  return out;
}

std::vector<std::string> ResultSetPayloads(const std::vector<std::string>& columns,
                                           const std::vector<ResultRow>& rows) {
  std::vector<std::string> payloads(1);
  AppendPackedInteger(columns.size(), &payloads[0]);
  for (const std::string& column : columns) payloads.push_back(ColumnPayload(column));
  payloads.push_back(EofPayload());
  for (const ResultRow& row : rows) {
    TM_CHECK(row.size() == columns.size());
    payloads.push_back(RowPayload(row));
  }
  payloads.push_back(EofPayload());
  return payloads;
}

// sql/rpl_source.cc, register_replica: server id, host, user, password, port, rank, source's id.
Result<RegisterReplica> ParseRegisterReplica(Bytes payload) {
  ByteReader reader(payload);
  RegisterReplica replica;
  replica.server_id = reader.U32();
  const Bytes host = reader.Take(reader.PackedInteger());
  const Bytes user = reader.Take(reader.PackedInteger());
  const Bytes password = reader.Take(reader.PackedInteger());
  replica.port = reader.U16();
  reader.Skip(4);  // recovery rank, which nobody uses
  reader.Skip(4);  // the id of the source, as the replica knows it
  if (!reader.ok()) return Malformed("COM_REGISTER_SLAVE");
  if (std::max({host.size(), user.size(), password.size()}) > kReportedNameBytesMax) {
    return Status(Code::kCorruption,
                  "failed to register replica: too long report-host, report-user "
                  "or report-password");
  }
  replica.host = AsText(host);
  replica.user = AsText(user);
  return replica;
}

// sql/rpl_source.cc, com_binlog_dump_gtid: flags, server id, file, position, encoded set.
Result<DumpGtid> ParseDumpGtid(Bytes payload) {
  ByteReader reader(payload);
  DumpGtid dump;
  dump.flags = reader.U16();
  dump.server_id = reader.U32();
  const Bytes file = reader.Take(reader.U32());
  dump.position = reader.U64();
  const Bytes gtid_set = reader.Take(reader.U32());
  if (!reader.ok() || file.size() > kBinlogNameBytesMax) return Malformed("COM_BINLOG_DUMP_GTID");
  dump.file = AsText(file);
  dump.gtid_set = AsText(gtid_set);
  return dump;
}

}  // namespace tidemark
