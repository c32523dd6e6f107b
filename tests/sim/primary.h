// The model of what is archived: MySQL servers with binary logs, which commit, rotate, restart,
// crash, purge, are promoted and are set back. A server that was set back is another object: what
// it had been stays, so that oracles can tell whose bytes the archive holds.
//
// Pure but for the dice; one thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "replication/event/gtid_set.h"
#include "replication/source/source_facts.h"
#include "tests/support/binlog_builder.h"
#include "tests/support/dice.h"

namespace tidemark::sim {

// One transaction, whichever server writes it down. Two with one GTID differ in `id`.
struct Recipe {
  uint64_t id = 0;
  Gtid gtid;
  testing::TransactionSpec spec;
};

struct Placed {
  uint64_t begin = 0;
  uint64_t end = 0;
  Gtid gtid;
  uint64_t id = 0;
};

struct LogFile {
  std::string name;
  std::string bytes;
  GtidSet previous;
  std::vector<Placed> transactions;
};

class Server {
 public:
  // `history` is what it has as a replica; the first `purged` transactions of it only by name.
  Server(Uuid uuid, Dice& dice, uint32_t now_s, const std::vector<Recipe>& history, size_t purged);

  void Commit(Recipe recipe, int64_t commit_us);
  void Rotate(uint32_t now_s);
  void Restart(bool orderly, uint32_t now_s);  // Stop event or none; a new file
  bool PurgeFirstFile();                       // false: it is the only one
  // This server without its last `lost` transactions: nullptr if they are not all in files that it
  // still has. `restarted`: with a new file; otherwise its last one goes on, as that of a virtual
  // machine that was set back while it ran.
  std::shared_ptr<Server> SetBack(size_t lost, bool restarted, uint32_t now_s) const;

  SourceFacts Facts(Dice& dice) const;
  Gtid NextGtid() const { return {{uuid_, ""}, last_number_ + 1}; }

  const Uuid& uuid() const { return uuid_; }
  const GtidSet& executed() const { return executed_; }
  const GtidSet& purged() const { return purged_; }
  const std::vector<Recipe>& history() const { return history_; }
  const std::map<Gtid, uint64_t>& ids() const { return ids_; }
  // Those that it has, oldest first; all that it ever had.
  const std::vector<std::shared_ptr<LogFile>>& files() const { return files_; }
  const std::vector<std::shared_ptr<LogFile>>& all_files() const { return all_files_; }
  uint64_t epoch() const { return epoch_; }  // of its process: links to an earlier one are broken

  bool up = true;

 private:
  void NextFile();

  Uuid uuid_;
  GtidSet executed_;
  GtidSet purged_;
  std::vector<Recipe> history_;
  std::map<Gtid, uint64_t> ids_;
  std::vector<std::shared_ptr<LogFile>> files_;
  std::vector<std::shared_ptr<LogFile>> all_files_;
  testing::BinlogBuilder builder_;
  uint32_t last_file_ = 0;
  int64_t last_number_ = 0;
  uint64_t epoch_ = 1;
};

// Varied: most small, some of many events, some large, DDL, XA in both its halves, compressed.
testing::TransactionSpec RandomSpec(Dice& dice, bool large);
Uuid ServerUuid(uint32_t number);
// As clocks never stood twice: what tells two transactions of one GTID apart.
int64_t OriginalCommitTime(uint64_t id);

}  // namespace tidemark::sim
