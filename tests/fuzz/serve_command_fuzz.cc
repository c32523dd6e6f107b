// What a peer can send us once it is logged in, and what we make of an archive's bytes:
// registrations, dump requests, statements, event streams cut anywhere. No crash, no memory beyond
// the limits, and: a failed statement changes nothing; how a stream is cut makes no difference to
// the packets.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "pitr/serve/packet.h"
#include "pitr/serve/statements.h"
#include "replication/event/gtid_set.h"

namespace tidemark {
namespace {

void TryCommands(Bytes bytes) {
  if (const auto replica = ParseRegisterReplica(bytes); replica.ok()) {
    TM_CHECK(replica->host.size() <= kReportedNameBytesMax);
    TM_CHECK(replica->user.size() <= kReportedNameBytesMax);
  }
  if (const auto dump = ParseDumpGtid(bytes); dump.ok()) {
    TM_CHECK(dump->gtid_set.size() <= bytes.size() && dump->file.size() <= kBinlogNameBytesMax);
    if (const auto set = GtidSet::Decode(AsBytes(dump->gtid_set)); set.ok()) {
      const auto again = GtidSet::Decode(AsBytes(set->Encode()));
      TM_CHECK(again.ok() && *again == *set);
    }
  }
}

void CheckAnswer(const std::vector<std::string>& payloads) {
  TM_CHECK(!payloads.empty() && !payloads[0].empty());
  const bool is_result_set = payloads[0] != OkPayload() && payloads[0][0] != '\xFF';
  TM_CHECK(is_result_set ? payloads.size() >= 4 && payloads.back() == EofPayload()
                         : payloads.size() == 1);
}

// Lines are statements of one connection.
void TryStatements(std::string_view text) {
  ServedFacts facts;
  facts.source = "fuzzed";
  facts.server_version = "9.7.4";
  facts.gtid_executed = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-100";
  ServeSession session;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const auto before = session.variables;
    const auto payloads = AnswerStatement(line, facts, &session);
    CheckAnswer(payloads);
    TM_CHECK(payloads[0] == OkPayload() || session.variables == before);
    TM_CHECK(session.variables.size() <= kSessionVariablesMax);
  }
  for (const auto& [name, value] : session.variables) {
    TM_CHECK(name.size() <= kSessionVariableNameBytesMax);
    TM_CHECK(value.size() <= kSessionVariableBytesMax);
  }
  (void)session.KnowsChecksums();
  (void)session.FirstRotateHasChecksum();
  (void)session.ReplicaUuid();
  const uint64_t period = session.HeartbeatPeriod();
  TM_CHECK(period == 0 || period >= kHeartbeatUsMin);
}

struct Packetized {
  std::string packets;  // those before an error, too
  Code code = Code::kOk;
};

// In one piece, or in pieces of 1 to 32 bytes.
Packetized Packetize(Bytes events, uint8_t sequence, bool in_pieces) {
  EventPacketizer packetizer(sequence);
  Packetized made;
  uint64_t state = sequence;
  while (!events.empty() && made.code == Code::kOk) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const size_t wanted = in_pieces ? 1 + (state >> 59) : events.size();
    const Bytes piece = events.first(std::min(wanted, events.size()));
    made.code = packetizer.Append(piece, &made.packets).code();
    events = events.subspan(piece.size());
  }
  return made;
}

void TryEvents(Bytes bytes) {
  if (bytes.empty()) return;
  const Packetized whole = Packetize(bytes.subspan(1), bytes[0], false);
  const Packetized pieces = Packetize(bytes.subspan(1), bytes[0], true);
  TM_CHECK(whole.packets == pieces.packets && whole.code == pieces.code);
}

}  // namespace
}  // namespace tidemark

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const tidemark::Bytes bytes(data, size);
  tidemark::TryCommands(bytes);
  tidemark::TryStatements(tidemark::AsText(bytes));
  tidemark::TryEvents(bytes);
  return 0;
}
