#include "tests/sim/primary.h"

#include <algorithm>

namespace tidemark::sim {

using testing::TransactionSpec;

Uuid ServerUuid(uint32_t number) {
  Uuid uuid = testing::BuilderUuid();
  uuid.bytes[15] = static_cast<uint8_t>(number);
  return uuid;
}

int64_t OriginalCommitTime(uint64_t id) { return 1'700'000'000'000'000 + static_cast<int64_t>(id); }

TransactionSpec RandomSpec(Dice& dice, bool large) {
  TransactionSpec spec;
  static constexpr std::string_view kTables[] = {"t", "orders", "customers"};
  spec.table = kTables[dice.Below(3)];
  spec.change = static_cast<testing::RowChange>(dice.Below(3));
  spec.row_bytes = static_cast<uint32_t>(dice.Below(60));
  if (large) {  // past one frame, sometimes past several
    spec.row_bytes = static_cast<uint32_t>(dice.Between(40'000, 120'000));
    spec.events = static_cast<uint32_t>(dice.Between(4, 20));
    return spec;
  }
  switch (dice.Below(12)) {
    case 0: spec.ddl = "ALTER TABLE t ADD COLUMN c INT"; break;
    case 1: spec.ddl = "XA COMMIT X'78',X'',1"; break;
    case 2: spec.xa = true; break;
    case 3: spec.compressed = true; break;
    case 4:
      spec.events = static_cast<uint32_t>(dice.Between(3, 12));
      spec.row_bytes = static_cast<uint32_t>(dice.Below(1500));
      break;
    case 5: spec.rows = static_cast<uint32_t>(dice.Between(2, 6)); break;
    default: break;
  }
  return spec;
}

Server::Server(Uuid uuid, Dice& dice, uint32_t now_s, const std::vector<Recipe>& history,
               size_t purged)
    : uuid_(uuid) {
  builder_.SetTime(now_s);
  for (size_t i = 0; i < purged; ++i) {
    executed_.Add(history[i].gtid);
    history_.push_back(history[i]);
    ids_[history[i].gtid] = history[i].id;
    if (history[i].gtid.tsid.uuid == uuid_)
      last_number_ = std::max(last_number_, history[i].gtid.gno);
  }
  purged_ = executed_;
  last_file_ = static_cast<uint32_t>(dice.Below(5));
  NextFile();
  std::vector<Recipe> rest(history.begin() + static_cast<ptrdiff_t>(purged), history.end());
  // Its appliers need not have kept the order.
  if (rest.size() >= 2 && dice.OneIn(4)) {
    const size_t at = dice.Below(rest.size() - 1);
    std::swap(rest[at], rest[at + 1]);
  }
  for (const Recipe& recipe : rest) {
    Commit(recipe, int64_t{now_s} * 1'000'000);
    if (dice.OneIn(12)) Rotate(now_s);
  }
}

void Server::NextFile() {
  auto file = std::make_shared<LogFile>();
  file->name = "binlog." + std::to_string(1'000'000 + ++last_file_).substr(1);
  file->previous = executed_;
  builder_.BeginFile(executed_);
  file->bytes = builder_.Take();
  files_.push_back(file);
  all_files_.push_back(std::move(file));
}

void Server::Commit(Recipe recipe, int64_t commit_us) {
  if (recipe.gtid.tsid.uuid == uuid_) last_number_ = std::max(last_number_, recipe.gtid.gno);
  recipe.spec.gtid = recipe.gtid;
  recipe.spec.commit_us = commit_us;
  LogFile& file = *files_.back();
  const uint64_t begin = file.bytes.size();
  builder_.Add(recipe.spec);
  file.bytes += builder_.Take();
  file.transactions.push_back({begin, file.bytes.size(), recipe.gtid, recipe.id});
  executed_.Add(recipe.gtid);
  ids_[recipe.gtid] = recipe.id;
  history_.push_back(std::move(recipe));
}

void Server::Rotate(uint32_t now_s) {
  builder_.SetTime(now_s);
  builder_.Rotate("binlog." + std::to_string(1'000'000 + last_file_ + 1).substr(1));
  files_.back()->bytes += builder_.Take();
  NextFile();
}

void Server::Restart(bool orderly, uint32_t now_s) {
  ++epoch_;
  builder_.SetTime(now_s);
  if (orderly) {
    builder_.Stop();
    files_.back()->bytes += builder_.Take();
  }
  NextFile();
}

bool Server::PurgeFirstFile() {
  if (files_.size() < 2) return false;
  for (const Placed& transaction : files_.front()->transactions) purged_.Add(transaction.gtid);
  files_.erase(files_.begin());
  return true;
}

std::shared_ptr<Server> Server::SetBack(size_t lost, bool restarted, uint32_t now_s) const {
  auto back = std::make_shared<Server>(*this);
  while (lost > 0) {
    // Files in front of the first lost transaction stay; that one ends before it.
    while (!back->files_.empty() && back->files_.back()->transactions.empty())
      back->files_.pop_back();
    if (back->files_.empty()) return nullptr;
    auto file = std::make_shared<LogFile>(*back->files_.back());
    const Placed last = file->transactions.back();
    file->transactions.pop_back();
    file->bytes.resize(last.begin);
    back->files_.back() = std::move(file);
    --lost;
  }
  GtidSet executed = back->purged_;
  for (const auto& file : back->files_)
    for (const Placed& transaction : file->transactions) executed.Add(transaction.gtid);
  std::erase_if(back->history_, [&](const Recipe& r) { return !executed.Contains(r.gtid); });
  std::erase_if(back->ids_, [&](const auto& entry) { return !executed.Contains(entry.first); });
  back->executed_ = executed;
  // Of the purged ones too.
  const size_t purged_files = all_files_.size() - files_.size();
  back->all_files_.assign(all_files_.begin(),
                          all_files_.begin() + static_cast<ptrdiff_t>(purged_files));
  back->all_files_.insert(back->all_files_.end(), back->files_.begin(), back->files_.end());
  back->last_number_ = 0;
  for (const Recipe& recipe : back->history_)
    if (recipe.gtid.tsid.uuid == uuid_)
      back->last_number_ = std::max(back->last_number_, recipe.gtid.gno);
  back->last_file_ =
      static_cast<uint32_t>(std::stoul(back->files_.back()->name.substr(sizeof("binlog.") - 1)));
  if (restarted) {
    back->Restart(false, now_s);
  } else {
    ++back->epoch_;
    back->builder_.GoOnAt(back->files_.back()->bytes.size());
  }
  return back;
}

// What is being committed is in the binary log, and may have been sent, before it counts as
// executed.
SourceFacts Server::Facts(Dice& dice) const {
  SourceFacts facts;
  facts.server_uuid = uuid_;
  facts.server_id = 7;
  facts.version = "9.7.4-model";
  facts.version_number = 90704;
  facts.gtid_executed = executed_;
  facts.gtid_purged = purged_;
  const auto& newest = files_.back()->transactions;
  for (size_t owned = dice.Below(3), i = newest.size(); owned > 0 && i > 0; --owned) {
    const Gtid& gtid = newest[--i].gtid;
    facts.gtid_executed.Subtract(gtid);
    facts.gtid_owned.Add(gtid);
  }
  facts.binlogs_visible = true;
  for (const auto& file : files_) facts.binlogs.push_back({file->name, file->bytes.size()});
  return facts;
}

}  // namespace tidemark::sim
