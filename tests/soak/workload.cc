#include "tests/soak/workload.h"

#include <mysql.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "tests/support/process.h"

namespace tidemark::soak {
namespace {

using sim::Dice;
using std::to_string;
using testing::Connection;

constexpr int kWriters = 6;
constexpr int kXaWriter = 4;
constexpr int kOddsWriter = 5;  // DDL, rotations, transactions of 50 MiB
constexpr uint64_t kDigestModulus = 1'000'003;
constexpr int kBigRows = 50;  // of 1 MiB
constexpr auto kBigEvery = std::chrono::seconds(120);
constexpr auto kFirstBig = std::chrono::seconds(15);
constexpr int kReconnectMs = 50;
// Gone (2006, 2013), or going: shutdown, killed, a hook that may not run any more, not available.
// Any other error is a mistake of this program's.
constexpr std::array<unsigned, 6> kServerGoes = {2006, 2013, 1053, 1317, 3100, 3168};

uint64_t NextDigest(uint64_t digest, uint64_t n) { return (digest * 31 + n) % kDigestModulus; }

std::string Table(int writer) { return "soak.t_" + to_string(writer); }

std::string LedgerUpdate(int writer) {
  return "UPDATE soak.ledger SET n = n + 1, digest = (digest * 31 + n) % " +
         to_string(kDigestModulus) + " WHERE w = " + to_string(writer);
}

// `rows` of about `kib` KiB, which compress to half.
std::string Insert(int writer, uint64_t n, uint64_t rows, uint64_t kib) {
  return "INSERT INTO " + Table(writer) +
         " (n, filler) WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL " +
         "SELECT i + 1 FROM s WHERE i < " + to_string(rows) + ") SELECT " + to_string(n) +
         ", REPEAT(HEX(RANDOM_BYTES(512)), " + to_string(kib) + ") FROM s";
}

std::string DeleteOlder(int writer, uint64_t n, uint64_t kept) {
  return "DELETE FROM " + Table(writer) + " WHERE n < " + to_string(n > kept ? n - kept : 0);
}

// What the writer does in transaction number n, but for the ledger.
std::string Work(int writer, uint64_t n, Dice& dice) {
  switch (writer) {
    case 2: return Insert(writer, n, dice.Between(50, 400), 1) + "; " + DeleteOlder(writer, n, 10);
    case 3:
      return Insert(writer, n, dice.Between(1, 4), 1) + "; UPDATE " + Table(writer) +
             " SET filler = 'changed' WHERE n = " + to_string(n - dice.Below(3)) + "; " +
             DeleteOlder(writer, n, 300);
    default:
      return "INSERT INTO " + Table(writer) + " (n, filler) VALUES (" + to_string(n) +
             ", RANDOM_BYTES(" + to_string(dice.Between(1, 300)) + ")); " +
             DeleteOlder(writer, n, 1000);
  }
}

std::string Ddl(uint64_t turn) {
  switch (turn % 6) {
    case 0: return "CREATE TABLE IF NOT EXISTS soak.d (a INT PRIMARY KEY, b VARCHAR(20))";
    case 1: return "REPLACE INTO soak.d VALUES (" + to_string(turn) + ", 'ü')";
    case 2: return "ALTER TABLE soak.d COMMENT = 'turn " + to_string(turn) + "'";
    case 3: return "CREATE OR REPLACE VIEW soak.v AS SELECT " + to_string(turn) + " AS turn";
    case 4: return "TRUNCATE TABLE soak.d";
    default: return "DROP TABLE IF EXISTS soak.d";
  }
}

}  // namespace

Status CreateTables(Rig& rig) {
  std::string sql =
      "CREATE DATABASE soak; CREATE TABLE soak.ledger (w INT PRIMARY KEY, n BIGINT UNSIGNED NOT "
      "NULL, digest BIGINT UNSIGNED NOT NULL)";
  for (int writer = 0; writer < kWriters; ++writer)
    sql += "; CREATE TABLE " + Table(writer) +
           " (id BIGINT AUTO_INCREMENT PRIMARY KEY, n BIGINT NOT NULL, filler LONGBLOB, KEY (n)); "
           "INSERT INTO soak.ledger VALUES (" +
           to_string(writer) + ", 0, 0)";
  return rig.primary().Execute(sql);
}

Workload::Workload(Rig& rig, uint64_t seed) : rig_(rig), writers_(kWriters) {
  for (int number = 0; number < kWriters; ++number)
    threads_.emplace_back([this, number, seed] { Run(number, seed); });
}

void Workload::Stop() {
  stop_ = true;
  for (std::thread& thread : threads_)
    if (thread.joinable()) thread.join();
}

GtidSet Workload::Succeeded() const {
  std::lock_guard lock(mutex_);
  return succeeded_;
}

void Workload::Pause(int milliseconds) const {
  (void)testing::WaitUntil([this] { return stop_.load(); }, milliseconds);
}

void Workload::Run(int number, uint64_t seed) {
  Writer& writer = writers_[static_cast<size_t>(number)];
  writer.number = number;
  writer.dice = Dice(seed * 100 + static_cast<uint64_t>(number));
  writer.next_big = std::chrono::steady_clock::now() + kFirstBig;
  writer.next_rotation = writer.next_big;
  while (true) {
    if (writer.connection == nullptr && !Connect(writer)) {
      if (stop_) return;
      Pause(kReconnectMs);
      continue;
    }
    if (stop_) return;
    Turn(writer);
  }
}

// A new connection, and what became of the transactions whose outcome is not known.
bool Workload::Connect(Writer& writer) {
  auto opened = rig_.primary().Connect();
  if (!opened.ok()) return false;
  writer.connection = std::move(*opened);
  if (writer.number == 2 && !Note(writer, "SET SESSION binlog_transaction_compression = ON"))
    return false;
  if (writer.number == kOddsWriter && !Note(writer, "SET SESSION binlog_row_image = MINIMAL"))
    return false;
  if (writer.number == kXaWriter && !FinishPrepared(writer)) return false;
  return LookUp(writer);
}

bool Workload::FinishPrepared(Writer& writer) {
  auto prepared = writer.connection->Query("XA RECOVER");
  if (!prepared.ok()) return Lost(writer);
  for (const std::vector<std::string>& row : *prepared) {
    const char* verb = writer.dice.OneIn(3) ? "XA ROLLBACK '" : "XA COMMIT '";
    if (!Note(writer, verb + row[3] + "'")) return false;
  }
  return true;
}

bool Workload::LookUp(Writer& writer) {
  const std::string where = " FROM soak.ledger WHERE w = " + to_string(writer.number);
  auto row = writer.connection->Query("SELECT n, digest" + where);
  if (!row.ok()) return Lost(writer);
  const uint64_t n = row->size() == 1 ? std::stoull((*row)[0][0]) : 0;
  if (n < writer.known || n > writer.attempt)
    rig_.report().Violation("the primary has " + to_string(n) + " transactions of writer " +
                            to_string(writer.number) + ", which saw " + to_string(writer.known) +
                            " succeed and began " + to_string(writer.attempt));
  writer.known = writer.attempt = n;
  return true;
}

// The connection is of no use any more.
bool Workload::Lost(Writer& writer) {
  writer.connection.reset();
  return false;
}

// Executes, and writes down the GTID of the commit, which the server's last answer tells.
bool Workload::Note(Writer& writer, const std::string& sql) {
  if (!writer.connection->Execute(sql).ok()) {
    const unsigned error = writer.connection->last_error();
    if (std::find(kServerGoes.begin(), kServerGoes.end(), error) == kServerGoes.end())
      rig_.report().Violation("writer " + to_string(writer.number) + " gets MySQL error " +
                              to_string(error) + " for " + sql.substr(0, 200));
    return Lost(writer);
  }
  const char* text = nullptr;
  size_t size = 0;
  if (mysql_session_track_get_first(writer.connection->mysql(), SESSION_TRACK_GTIDS, &text,
                                    &size) != 0)
    return true;
  const Result<GtidSet> gtids = GtidSet::Parse(std::string(text, size));
  TM_CHECK(gtids.ok());
  ++commits_;
  std::lock_guard lock(mutex_);
  succeeded_.Add(*gtids);
  return true;
}

bool Workload::Commit(Writer& writer, const std::string& work) {
  ++writer.attempt;
  if (!Note(writer, "BEGIN; " + work + "; " + LedgerUpdate(writer.number) + "; COMMIT"))
    return false;
  writer.known = writer.attempt;
  return true;
}

// Prepared ones are also rolled back, and left for the next connection to finish.
bool Workload::Xa(Writer& writer) {
  ++writer.attempt;
  const std::string id =
      "'" + to_string(writer.attempt) + "-" + to_string(writer.dice.Next() % 1'000'000) + "'";
  if (!Note(writer, "XA START " + id + "; " + Work(kXaWriter, writer.attempt, writer.dice) + "; " +
                        LedgerUpdate(writer.number) + "; XA END " + id + "; XA PREPARE " + id))
    return false;
  if (writer.dice.OneIn(20)) return Lost(writer);
  if (writer.dice.OneIn(8)) {
    --writer.attempt;
    return Note(writer, "XA ROLLBACK " + id) || (++writer.attempt, false);
  }
  if (!Note(writer, "XA COMMIT " + id)) return false;
  writer.known = writer.attempt;
  return true;
}

void Workload::OddTurn(Writer& writer) {
  const auto now = std::chrono::steady_clock::now();
  if (now >= writer.next_big) {
    writer.next_big = now + kBigEvery;
    const uint64_t n = writer.attempt + 1;
    if (!Commit(writer,
                Insert(writer.number, n, kBigRows, 1024) + "; " + DeleteOlder(writer.number, n, 1)))
      return;
  } else if (now >= writer.next_rotation) {
    writer.next_rotation = now + std::chrono::seconds(writer.dice.Between(10, 40));
    if (!Note(writer, "FLUSH BINARY LOGS")) return;
  } else if (Note(writer, Ddl(writer.ddl))) {
    ++writer.ddl;  // each may be done twice, but none may be left out
  } else {
    return;
  }
  Pause(static_cast<int>(writer.dice.Between(500, 1500)));
}

void Workload::Turn(Writer& writer) {
  if (writer.number == kOddsWriter) return OddTurn(writer);
  if (writer.number == kXaWriter)
    (void)Xa(writer);
  else
    (void)Commit(writer, Work(writer.number, writer.attempt + 1, writer.dice));
  static constexpr std::array<int, kWriters> kPauseMs = {10, 15, 500, 40, 60, 0};
  Pause(static_cast<int>(
      writer.dice.Below(2 * static_cast<uint64_t>(kPauseMs[static_cast<size_t>(writer.number)]))));
}

std::vector<std::string> Workload::CompareLedger(Connection& connection) const {
  std::vector<std::string> differences;
  auto rows = connection.Query("SELECT w, n, digest FROM soak.ledger ORDER BY w");
  if (!rows.ok()) return {rows.error().message()};
  if (rows->size() != writers_.size()) return {"soak.ledger has not one row for each writer"};
  for (const Writer& writer : writers_) {
    const std::vector<std::string>& row = (*rows)[static_cast<size_t>(writer.number)];
    const uint64_t n = std::stoull(row[1]);
    uint64_t digest = 0;
    for (uint64_t i = 1; i <= n; ++i) digest = NextDigest(digest, i);
    if (n < writer.known || n > writer.attempt || to_string(digest) != row[2])
      differences.push_back("writer " + row[0] + " saw " + to_string(writer.known) +
                            " transactions succeed and began " + to_string(writer.attempt) +
                            "; the ledger has " + row[1] + " with digest " + row[2] +
                            " instead of " + to_string(digest));
  }
  return differences;
}

}  // namespace tidemark::soak
