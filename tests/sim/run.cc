#include "tests/sim/run.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "tests/sim/real_index.h"

namespace tidemark::sim {
namespace {

constexpr uint64_t kTurnsToCatchUp = 200'000;
constexpr uint64_t kTurnsToStop = 3'000;  // then it is killed

}  // namespace

void RunCounts::Add(const RunCounts& other) {
  static_assert(sizeof(RunCounts) % sizeof(uint64_t) == 0);
  auto* to = reinterpret_cast<uint64_t*>(this);
  const auto* from = reinterpret_cast<const uint64_t*>(&other);
  for (size_t i = 0; i < sizeof(RunCounts) / sizeof(uint64_t); ++i) to[i] += from[i];
}

Run::Run(RunOptions options)
    : options_(options),
      dice_(options.seed),
      fibers_(dice_,
              [this] {
                std::printf("seed %llu: everybody waits for somebody else (a lost wake-up)\n",
                            static_cast<unsigned long long>(options_.seed));
                std::fflush(stdout);
                std::abort();
              }),
      disk_(dice_, [this](const char* operation) { Turn(operation); }),
      oracle_(disk_, servers_),
      publisher_(
          disk_, dice_, [this](const char* operation) { Turn(operation); },
          [this](Violation violation) { Violated(std::move(violation)); }) {}

Run::~Run() = default;

void Run::Note(const char* what, uint64_t a, uint64_t b) {
  for (const char* c = what; *c != '\0'; ++c)
    fingerprint_ = (fingerprint_ ^ static_cast<uint64_t>(*c)) * 0x100000001B3;
  fingerprint_ = (fingerprint_ ^ a) * 0x100000001B3;
  fingerprint_ = (fingerprint_ ^ b) * 0x100000001B3;
  if (options_.trace)
    std::printf("%8llu %s %llu %llu\n", static_cast<unsigned long long>(counts_.turns), what,
                static_cast<unsigned long long>(a), static_cast<unsigned long long>(b));
}

void Run::Violated(Violation violation) {
  if (violation_) return;
  if (options_.trace)
    std::printf("VIOLATED %s: %s\n", violation.oracle.c_str(), violation.message.c_str());
  violation_ = std::move(violation);
  if (!dead_) Die();
}

void Run::DrawPlan() {
  archiver_options_.source = kSource;
  archiver_options_.server_id = 9;
  archiver_options_.backoff_us_min = archiver_options_.backoff_us_max = 0;
  archiver_options_.adopt_purged = !dice_.OneIn(4);
  large_one_in_ = dice_.OneIn(24) ? 12 : 0;
  PipelineOptions& pipeline = archiver_options_.pipeline;
  pipeline.turns = &fibers_;
  pipeline.ring_bytes = size_t{64} << (large_one_in_ != 0 ? dice_.Between(8, 16) : dice_.Below(10));
  pipeline.batch_raw_bytes = uint64_t{16} << dice_.Below(large_one_in_ != 0 ? 17 : 10);
  pipeline.batches_max = dice_.Between(1, 4);
  pipeline.writer.zstd_window_log = 10;
  pipeline.writer.zstd_hash_log = 7;
  SessionLimits& limits = archiver_options_.limits;
  limits.segment_raw_bytes_max = uint64_t{1024} << dice_.Below(large_one_in_ != 0 ? 14 : 8);
  if (dice_.OneIn(3))
    limits.segment_age_us_max = static_cast<int64_t>(dice_.Between(1000, 200'000));
  transactions_max_ = dice_.Between(5, 80);
  if (!dice_.OneIn(3)) reserve_bytes_ = dice_.Between(8, 16) << 10;
  sets_back_ = dice_.OneIn(2);
  fails_over_ = !sets_back_ || dice_.OneIn(2);
  purges_ = dice_.OneIn(2);
  if (dice_.OneIn(2)) archiver_options_.semi_sync = SemiSyncMode::kAuto;
  disk_.set_failed_sync_shows(dice_.OneIn(2));
  if (options_.real_index_in != 0 && options_.seed % options_.real_index_in == 0)
    real_index_ = std::make_unique<RealIndex>();

  std::vector<Recipe> history(dice_.Below(4));
  for (size_t i = 0; i < history.size(); ++i) {
    history[i] = {
        next_id_++, {{ServerUuid(0), ""}, static_cast<int64_t>(i + 1)}, RandomSpec(dice_, false)};
    history[i].spec.original_commit_us = OriginalCommitTime(history[i].id);
  }
  const size_t purged = dice_.OneIn(4) ? dice_.Below(history.size() + 1) : 0;
  // The archive's own directory is its owner's to make; what is in it is ours.
  quiet_ = true;
  (void)disk_.CreateDirectories(kArchive);
  quiet_ = false;

  servers_.push_back(std::make_shared<Server>(ServerUuid(0), dice_, NowSeconds(), history, purged));
  primary_ = servers_.back();
}

Run::Life Run::DrawLife() {
  Life life;
  life.end = static_cast<End>(dice_.Below(3));
  life.turns = 1 + dice_.Small(11);
  life.happens_one_in = dice_.Between(2, 30);
  life.once = dice_.OneIn(8);
  DiskFaults faults;
  room_to_seal_ = false;
  if (dice_.OneIn(2)) {
    const auto rate = [this] { return dice_.OneIn(2) ? dice_.Between(10, 300) : 0; };
    faults.read = rate();
    faults.write = rate();
    faults.sync = rate();
    faults.name = rate();
  }
  disk_.SetFaults(faults);
  link_faults_.cut = dice_.OneIn(2) ? dice_.Between(5, 200) : 0;
  link_faults_.damage = dice_.OneIn(4) ? dice_.Between(20, 400) : 0;
  link_faults_.unreached = dice_.OneIn(4) ? 3 : 0;
  publisher_.SetRefusals(dice_.OneIn(4) ? dice_.Between(3, 40) : 0);
  return life;
}

RunResult Run::Go() {
  DrawPlan();
  for (uint64_t lives = dice_.Between(1, 5); lives > 0 && !Over(); --lives) Live(DrawLife());
  if (!Over()) CatchUp();
  ++counts_.runs;
  counts_.batches = publisher_.batches();
  counts_.segments = oracle_.segments();
  counts_.gaps = oracle_.missing().empty() ? 0 : 1;
  counts_.disk_failures = disk_.failed();
  return {violation_, counts_, fingerprint_};
}

void Run::Live(const Life& life) {
  ++counts_.lives;
  Note("life", static_cast<uint64_t>(life.end), life.turns);
  life_ = life;
  dead_ = stopping_ = ready_ = false;
  archiver_options_.reserve = nullptr;
  reserve_.reset();
  reserve_given_up_ = false;
  last_error_ = OkStatus();
  disk_.Revive();
  publisher_.set_dead(false);
  if (real_index_ != nullptr) {
    const Status opened = real_index_->Open();
    if (!opened.ok()) return Violated({"index equals rebuild", opened.message()});
    publisher_.SetIndex(real_index_->index());
  } else {
    publisher_.SetIndex(&model_index_);
  }
  fibers_.Run([this] { Daemon(); });
  if (real_index_ != nullptr) {
    real_index_->Close();
    if (dead_ && life_.end == End::kPowerCut) real_index_->PowerCut(dice_);
  }
  if (!dead_) {
    ++counts_.stops;
    disk_.Kill();  // it has exited
  }
  if (Verdict verdict = publisher_.CheckSurvived()) Violated(std::move(*verdict));
}

void Run::Turn(const char* operation) {
  if (quiet_ || !fibers_.running()) return;
  ++counts_.turns;
  Note(operation);
  clock_.Advance(static_cast<int64_t>(dice_.Small(12)));
  if (!dead_) {
    if (life_.turns > 0 && --life_.turns == 0) EndLife();
  }
  if (!dead_) {
    if (dice_.OneIn(life_.happens_one_in)) Happen();
    if (crash_in_ > 0 && --crash_in_ == 0 && !life_.until_caught_up) LoseTheEnd();
    if (free_in_ > 0 && --free_in_ == 0) FreeDisk();
    CheckReserve(operation);
    if (life_.until_caught_up && !stopping_ && archiver_ != nullptr) {
      const bool idle = std::string_view(operation) == kIdle;
      const Code error =
          counts_.turns % 32 == 0 ? archiver_->status().last_error.code() : Code::kOk;
      if (error == Code::kDivergence || error == Code::kGap || (idle && CaughtUp())) EndLife();
    }
    if (dice_.OneIn(4)) {
      const auto& all = model_index_.state();
      older_index_ = all;
    }
  }
  fibers_.Yield();
}

void Run::EndLife() {
  if (archiver_ != nullptr && !stopping_) last_error_ = archiver_->status().last_error;
  if (life_.end == End::kStop && !stopping_) {
    Note("stop");
    stopping_ = true;
    life_.turns = life_.until_caught_up ? kTurnsToCatchUp : dice_.Between(1, kTurnsToStop);
    if (archiver_ != nullptr) archiver_->Stop();
    return;
  }
  if (life_.until_caught_up)
    return Violated(
        {"liveness", "nothing fails any more, and it does not catch up: " + last_error_.message()});
  if (life_.end == End::kStop) life_.end = dice_.OneIn(2) ? End::kKill : End::kPowerCut;
  if (life_.end == End::kKill) {
    Note("kill");
    ++counts_.kills;
    disk_.Kill();
  } else {
    Note("power cut");
    ++counts_.power_cuts;
    power_was_cut_ = true;
    disk_.PowerCut();
    const uint64_t fate = dice_.Below(3);
    if (fate == 0) model_index_.set_state({});
    if (fate == 1) model_index_.set_state(older_index_);
  }
  Die();
}

// What still runs of the process notices nothing but that nothing works any more.
void Run::Die() {
  dead_ = true;
  publisher_.set_dead(true);
  if (archiver_ != nullptr) archiver_->Stop();
}

void Run::Daemon() {
  ArchiveDirectory archive(disk_, kArchive);
  std::unique_ptr<FileLock> lock;
  while (!dead_ && !stopping_) {
    Turn("begin");
    const Status begun = Begin(archive, &lock);
    if (begun.ok()) break;
    if (!dead_) AfterRefusal(begun);
  }
  if (ready_ && !dead_ && !stopping_) {
    const Status ended = life_.once ? archiver_->RunOnce() : archiver_->Run();
    if (!dead_ && ended.ok()) AfterOrderlyStop();
  }
  archiver_.reset();
}

// As the daemon and its workers do it.
Status Run::Begin(ArchiveDirectory& archive, std::unique_ptr<FileLock>* lock) {
  if (*lock == nullptr) {
    TM_ASSIGN_OR_RETURN(*lock, archive.LockForWriting());
  }
  if (reserve_ == nullptr) {
    reserve_ = std::make_unique<SpaceReserve>(disk_, kArchive, reserve_bytes_);
    (void)reserve_->Open();
    archiver_options_.reserve = reserve_.get();
  }
  const Status begun = BeginOnce(archive);
  return begun.code() == Code::kDiskFull && reserve_->GiveUp() ? BeginOnce(archive) : begun;
}

Status Run::BeginOnce(ArchiveDirectory& archive) {
  const auto turn = [this](const char* operation) { Turn(operation); };
  const auto on_ack = [this](const Server& server, const std::string& file, uint64_t position) {
    OnAck(server, file, position);
  };
  if (archiver_ == nullptr)
    archiver_ = std::make_unique<SourceArchiver>(
        archive,
        std::make_unique<Link>(
            dice_, link_faults_, [this] { return primary_; }, turn, on_ack),
        clock_, publisher_, archiver_options_);
  TM_RETURN_IF_ERROR(archiver_->Prepare());
  Index& index = real_index_ != nullptr ? *real_index_->index() : model_index_;
  const std::optional<SegmentContents> recovered = archiver_->TakeRecovered();
  TM_ASSIGN_OR_RETURN(
      const HealReport report,
      HealIndex(index, archive, kSource, {}, recovered.has_value() ? &*recovered : nullptr));
  if (dead_) return Status(Code::kIo, "the process is gone");
  if (!report.gtids_lost.empty())
    Violated({"published survives",
              "the index knew " + report.gtids_lost.ToString() + ", and their segments are gone"});
  publisher_.OnHealed();
  if (!dead_) CheckArchive(true);
  ready_ = true;
  return OkStatus();
}

// The reserve is there for as long as archiving goes on, and is room enough to seal what there is.
void Run::CheckReserve(std::string_view operation) {
  if (reserve_bytes_ == 0 || reserve_ == nullptr || !ready_) return;
  const bool was_given_up = std::exchange(reserve_given_up_, reserve_->given_up());
  if (reserve_given_up_ && !was_given_up) ++counts_.reserves_given_up;
  const std::string* reserve = disk_.Contents(reserve_->path());
  if (operation == "dump" && reserve != nullptr && reserve->empty())
    return Violated({"the reserve is not eaten", "archiving goes on without it"});
  // Whoever waits asks for the room that there is, or reads the segment that it could not seal.
  if (operation != "stat" || !room_to_seal_) return;
  const ArchiverStatus status = archiver_->status();
  if (status.state != ArchiverState::kWaiting || status.last_error.code() != Code::kDiskFull)
    return;
  if (!publisher_.LastIsSealed())
    Violated({"sealed on a full disk", "there was a reserve of " + std::to_string(reserve_bytes_) +
                                           " bytes, and the last segment is open"});
}

// A client has been told that its commit succeeded: nothing may take that back.
void Run::OnAck(const Server& server, const std::string& name, uint64_t position) {
  if (dead_) return;
  Note("acknowledged", position);
  ++counts_.acknowledged;
  for (const auto& file : server.all_files()) {
    if (file->name != name) continue;
    GtidSet safe = file->previous;
    for (const Placed& transaction : file->transactions)
      if (transaction.begin < position) {
        safe.Add(transaction.gtid);
        if (oracle_.HasAnother(transaction))
          Violated({"acknowledged ⊆ published",
                    "acknowledged " + transaction.gtid.ToString() + " and has another one"});
      }
    const GtidSet unsafe = safe.Minus(publisher_.resume());
    if (!unsafe.empty())
      Violated({"acknowledged ⊆ published", "acknowledged " + name + " up to " +
                                                std::to_string(position) + ", with " +
                                                unsafe.ToString() + " not published"});
  }
}

// A power cut may leave what FORMAT.md says is refused rather than guessed: a torn page with a
// whole frame behind it. A person then cuts the file where it was last known to be good.
void Run::AfterRefusal(const Status& refusal) {
  last_error_ = refusal;
  if (options_.trace) std::printf("refused: %s\n", refusal.message().c_str());
  if (!power_was_cut_ || refusal.message().find("frames stand behind it") == std::string::npos)
    return;
  ArchiveDirectory archive(disk_, kArchive);
  const DiskFaults faults = disk_.faults();
  disk_.SetFaults({});
  quiet_ = true;
  const auto numbers = archive.Segments(kSource);
  if (numbers.ok() && !numbers->empty()) {
    const std::string path = archive.SegmentPath(kSource, numbers->back());
    const uint64_t published = publisher_.PublishedBytes(numbers->back());
    if (published == 0) {
      (void)disk_.Remove(path);
    } else if (auto file = disk_.Open(path, OpenMode::kReadWrite); file.ok()) {
      (void)(*file)->Truncate(published);
    }
    ++counts_.refused_tails;
  }
  quiet_ = false;
  disk_.SetFaults(faults);
}

void Run::CheckArchive(bool with_index) {
  const DiskFaults faults = disk_.faults();
  disk_.SetFaults({});
  quiet_ = true;
  Index* index = !with_index              ? nullptr
                 : real_index_ != nullptr ? real_index_->index()
                                          : &model_index_;
  Verdict verdict = oracle_.Check(index, archiver_options_.adopt_purged);
  if (!verdict) verdict = publisher_.CheckSurvived();
  if (!verdict && with_index && real_index_ != nullptr) {
    ArchiveDirectory archive(disk_, kArchive);
    const Result<std::string> difference = real_index_->CompareWithRebuild(archive);
    if (!difference.ok()) verdict = {"index equals rebuild", difference.error().message()};
    if (difference.ok() && !difference->empty()) verdict = {"index equals rebuild", *difference};
  }
  quiet_ = false;
  disk_.SetFaults(faults);
  if (verdict) Violated(std::move(*verdict));
}

void Run::AfterOrderlyStop() {
  CheckArchive(true);
  if (Over()) return;
  const GtidSet all = oracle_.archived().Union(oracle_.missing());
  if (oracle_.segments() > 0 && all != publisher_.resume())
    Violated({"archived is published", "after an orderly stop " + all.ToString() +
                                           " is archived and " + publisher_.resume().ToString() +
                                           " published"});
}

bool Run::CaughtUp() const { return primary_->executed().IsSubsetOf(publisher_.resume()); }

// Nothing fails any more. What is still refused must be refused for a reason, which then goes away.
void Run::CatchUp() {
  disk_.SetFaults({});
  link_faults_ = {};
  publisher_.SetRefusals(0);
  // First the disk is full, and what begins so must go on by itself.
  if (dice_.OneIn(3)) {
    FillDisk();
    room_to_seal_ = false;  // the process that had the reserve is gone
    free_in_ = 1 + dice_.Small(12);
  }
  for (int attempts = 0; attempts < 4; ++attempts) {
    primary_->up = true;
    transactions_max_ = UINT64_MAX;
    Commit();  // a gap is recorded with what comes behind it
    Life life;
    life.turns = kTurnsToCatchUp;
    life.until_caught_up = true;
    Live(life);
    if (Over()) return;
    const bool diverges = oracle_.DivergesFrom(*primary_);
    if (CaughtUp() && !diverges) {
      // It may have ended on the full disk. What was given up then is made by the next process. (A
      // reserve that was never made is the main loop's to make, which is not here.)
      const std::string* reserve = disk_.Contents(std::string(kArchive) + "/reserve");
      const bool given_up = reserve != nullptr && reserve->size() != reserve_bytes_;
      if (given_up && free_in_ == 0 && attempts > 0)
        return Violated({"the reserve comes back", "there is room, and it is not there"});
      if (given_up || free_in_ > 0) {
        FreeDisk();
        free_in_ = 0;
        continue;
      }
      const GtidSet lacking =
          primary_->executed().Minus(oracle_.archived().Union(oracle_.missing()));
      if (!lacking.empty()) Violated({"liveness", "ended without " + lacking.ToString()});
      return;
    }
    if (last_error_.code() == Code::kDivergence &&
        (diverges || oracle_.HasOtherFilesThan(*primary_))) {
      ++counts_.divergences;
      primary_ = oracle_.LastServer();
    } else if (last_error_.code() == Code::kGap && !archiver_options_.adopt_purged) {
      archiver_options_.adopt_purged = true;
    } else {
      break;
    }
  }
  Violated({oracle_.DivergesFrom(*primary_) ? "divergence refused" : "liveness",
            "it ended with: " + last_error_.message()});
}

}  // namespace tidemark::sim
