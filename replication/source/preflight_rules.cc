#include "replication/source/preflight_rules.h"

#include <strings.h>

#include <charconv>

#include "replication/source/mysql_error.h"

namespace tidemark {

const std::vector<std::string> kJudgedVariables = {"log_bin",
                                                   "gtid_mode",
                                                   "enforce_gtid_consistency",
                                                   "binlog_format",
                                                   "binlog_row_image",
                                                   "binlog_checksum",
                                                   "binlog_expire_logs_seconds",
                                                   "binlog_expire_logs_auto_purge",
                                                   "expire_logs_days",
                                                   "sync_binlog",
                                                   "innodb_flush_log_at_trx_commit",
                                                   "binlog_encryption",
                                                   "binlog_transaction_compression"};

namespace {

constexpr uint32_t kFirstSupported = 80000;
constexpr size_t kGtidTextBytesMax = 400;  // in a message; Finding::gtids has them all

std::string Shortened(const GtidSet& set) {
  std::string text = set.ToString();
  if (text.size() <= kGtidTextBytesMax) return text;
  return text.substr(0, kGtidTextBytesMax) + "… (" + std::to_string(set.Count()) + " GTIDs)";
}

class Judge {
 public:
  Judge(const SourceSettings& settings, const PreflightOptions& options)
      : settings_(settings), options_(options), source_("source " + settings.endpoint) {}

  PreflightReport Run();

 private:
  bool CheckServer();
  void CheckBinlog();
  void CheckBinlogFormat();
  void CheckPrivileges();
  void CheckServerId();
  void CheckReplica(const RegisteredReplica& replica, bool* clash);
  void CheckRetention();
  void CheckDurability();
  void CheckNotes();
  void CheckHistory(const SourceFacts& facts);
  void CheckPurged(const SourceFacts& facts);

  // The variable's value; empty if the source does not know it.
  std::string Value(const char* name) const {
    auto found = settings_.variables.find(name);
    return found == settings_.variables.end() ? "" : found->second;
  }
  bool Is(const char* name, const char* value) const {
    return strcasecmp(Value(name).c_str(), value) == 0;
  }
  int64_t Number(const char* name) const {
    std::string text = Value(name);
    int64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  }
  void Ok(const char* check, std::string message) {
    report_.findings.push_back({Severity::kOk, check, std::move(message), "", Code::kOk, {}});
  }
  void Warn(const char* check, std::string message, std::string hint) {
    report_.findings.push_back(
        {Severity::kWarning, check, std::move(message), std::move(hint), Code::kOk, {}});
  }
  void Error(const char* check, std::string message, std::string hint,
             Code code = Code::kSourceRefused, GtidSet gtids = {}) {
    report_.findings.push_back(
        {Severity::kError, check, std::move(message), std::move(hint), code, std::move(gtids)});
  }

  const SourceSettings& settings_;
  const PreflightOptions& options_;
  const std::string source_;
  PreflightReport report_;
};

PreflightReport Judge::Run() {
  report_.facts = settings_.facts;
  if (!CheckServer()) return std::move(report_);
  CheckBinlog();
  CheckBinlogFormat();
  CheckPrivileges();
  CheckServerId();
  CheckRetention();
  CheckDurability();
  CheckNotes();
  if (settings_.facts) CheckHistory(*settings_.facts);
  return std::move(report_);
}

// False: of this server nothing else can be judged.
bool Judge::CheckServer() {
  if (settings_.mariadb) {
    Status refused = RefuseMariaDb(settings_.endpoint, settings_.version);
    Error("server-kind", refused.message(), refused.hint());
    return false;
  }
  Ok("server-kind", source_ + " is a MySQL");
  if (settings_.version_number < kFirstSupported) {
    Error("version", source_ + " runs " + settings_.version + ", which is older than 8.0",
          "only MySQL 8.0 and later write what Tidemark needs into their GTID events");
    return false;
  }
  Ok("version", source_ + " runs " + settings_.version);
  return true;
}

void Judge::CheckBinlog() {
  if (Is("log_bin", "ON")) {
    Ok("log-bin", "the binary log is on");
  } else {
    Error("log-bin", source_ + " writes no binary log",
          "start it without skip-log-bin (needs a restart)");
  }
  if (Is("gtid_mode", "ON")) {
    Ok("gtid-mode", "gtid_mode is ON");
  } else {
    Error("gtid-mode", source_ + " has gtid_mode=" + Value("gtid_mode") + ", and ON is needed",
          "set enforce_gtid_consistency=ON, then step gtid_mode through OFF_PERMISSIVE and "
          "ON_PERMISSIVE to ON; each step can be done online with SET PERSIST");
  }
  if (Is("enforce_gtid_consistency", "ON")) {
    Ok("enforce-gtid-consistency", "enforce_gtid_consistency is ON");
  } else {
    Error("enforce-gtid-consistency",
          source_ + " has enforce_gtid_consistency=" + Value("enforce_gtid_consistency"),
          "SET PERSIST enforce_gtid_consistency=ON");
  }
}

void Judge::CheckBinlogFormat() {
  // The variable is gone from servers that write rows only.
  if (Value("binlog_format").empty() || Is("binlog_format", "ROW")) {
    Ok("binlog-format", "changes are logged as rows");
  } else {
    Warn("binlog-format",
         source_ + " has binlog_format=" + Value("binlog_format") +
             ": everything is archived, but statements may replay differently and name no rows",
         "SET PERSIST binlog_format=ROW");
  }
  if (Is("binlog_row_image", "FULL")) {
    Ok("binlog-row-image", "row images are full");
  } else {
    Warn("binlog-row-image",
         source_ + " has binlog_row_image=" + Value("binlog_row_image") +
             ": restores work, but old values of changed rows are not in the archive",
         "SET PERSIST binlog_row_image=FULL");
  }
  if (Is("binlog_checksum", "CRC32")) {
    Ok("binlog-checksum", "events carry a CRC32");
  } else {
    Warn("binlog-checksum",
         source_ + " has binlog_checksum=" + Value("binlog_checksum") +
             ": damage on the source's disk or on the way cannot be noticed",
         "SET PERSIST binlog_checksum=CRC32");
  }
}

void Judge::CheckPrivileges() {
  std::string hint = "on the source: " + NeededGrant(settings_.user);
  if (settings_.may_replicate) {
    Ok("replication-slave", "the user may read the binary log");
  } else {
    Error("replication-slave",
          "user '" + settings_.user + "' has not the REPLICATION SLAVE privilege on " + source_,
          hint);
  }
  if (settings_.may_list_binlogs) {
    Ok("replication-client", "the user may list the binary logs");
  } else if (Is("log_bin", "ON")) {
    Warn("replication-client",
         "user '" + settings_.user + "' has not the REPLICATION CLIENT privilege on " + source_ +
             ": how far the archive is behind, in bytes, cannot be told",
         hint);
  }
}

void Judge::CheckReplica(const RegisteredReplica& replica, bool* clash) {
  std::string ours = options_.our_uuid ? options_.our_uuid->ToString() : "";
  bool same_uuid = !ours.empty() && strcasecmp(replica.uuid.c_str(), ours.c_str()) == 0;
  bool same_id = replica.server_id == options_.server_id;
  if (same_uuid == same_id) return;  // somebody else; or ourselves, still or already connected
  *clash = true;
  std::string who = "replica " + replica.uuid + " (host '" + replica.host + "', server_id " +
                    std::to_string(replica.server_id) + ")";
  if (same_id) {
    Error("server-id", who + " of " + source_ + " already uses our server_id",
          "give this archiver a server_id that no server of the topology has");
  } else {
    Error("server-id", who + " of " + source_ + " already uses our server_uuid",
          "two archivers share an identity file; the source would let only one of them read");
  }
}

void Judge::CheckServerId() {
  if (options_.server_id == 0) return;
  bool clash = false;
  if (settings_.facts && settings_.facts->server_id == options_.server_id) {
    clash = true;
    Error("server-id",
          source_ + " itself has server_id " + std::to_string(options_.server_id) +
              ", the one that this archiver is to use",
          "give this archiver a server_id that no server of the topology has");
  }
  if (settings_.facts && options_.our_uuid == settings_.facts->server_uuid) {
    clash = true;
    Error("server-id", source_ + " itself has our server_uuid " + options_.our_uuid->ToString(),
          "the archive's identity must not be copied from a server's auto.cnf");
  }
  for (const RegisteredReplica& replica : settings_.replicas) CheckReplica(replica, &clash);
  if (!clash) {
    Ok("server-id", "server_id " + std::to_string(options_.server_id) + " is free on the source");
  }
}

void Judge::CheckRetention() {
  constexpr int64_t kDaySeconds = 86'400;
  int64_t seconds = Number("binlog_expire_logs_seconds");
  if (seconds == 0) seconds = Number("expire_logs_days") * kDaySeconds;
  if (seconds == 0 || Is("binlog_expire_logs_auto_purge", "OFF")) {
    Ok("retention", "binary logs stay on the source until they are purged by hand");
  } else if (seconds < options_.retention_warn_s) {
    Warn("retention",
         source_ + " keeps its binary logs for " + std::to_string(seconds) +
             " s only: an archiver that stands still for longer leaves a gap",
         "SET PERSIST binlog_expire_logs_seconds=" + std::to_string(options_.retention_warn_s) +
             " or more");
  } else {
    Ok("retention", "binary logs stay on the source for " + std::to_string(seconds) + " s");
  }
}

void Judge::CheckDurability() {
  struct Setting {
    const char* check;
    const char* variable;
  };
  for (const Setting& setting :
       {Setting{"sync-binlog", "sync_binlog"},
        Setting{"innodb-flush-log-at-trx-commit", "innodb_flush_log_at_trx_commit"}}) {
    std::string assignment = std::string(setting.variable) + "=" + Value(setting.variable);
    if (Is(setting.variable, "1")) {
      Ok(setting.check, assignment);
    } else {
      Warn(setting.check,
           source_ + " has " + assignment +
               ": a crash may take commits from it that the archive already has, which is then a "
               "divergence",
           std::string("SET PERSIST ") + setting.variable + "=1");
    }
  }
}

void Judge::CheckNotes() {
  if (Is("binlog_encryption", "ON")) {
    Ok("binlog-encryption",
       "the source encrypts its binary logs on disk; they arrive decrypted, and the archive's own "
       "encryption is a setting of the archive");
  } else {
    Ok("binlog-encryption", "the source's binary logs are not encrypted on disk");
  }
  if (Is("binlog_transaction_compression", "ON")) {
    Ok("binlog-transaction-compression",
       "transactions arrive compressed and are archived as they are");
  } else {
    Ok("binlog-transaction-compression", "transactions arrive uncompressed");
  }
}

void Judge::CheckHistory(const SourceFacts& facts) {
  if (options_.resume_set) {
    GtidSet surplus = options_.resume_set->Minus(facts.gtid_executed);
    if (surplus.empty()) {
      Ok("divergence", "the source has every transaction that the archive has");
    } else {
      std::string text = Shortened(surplus);
      Error("divergence",
            "the archive has transactions that " + source_ + " does not have: " + text,
            "the source was rewound or restored, or it is another server; archive the new history "
            "under another source name",
            Code::kDivergence, std::move(surplus));
    }
  }
  CheckPurged(facts);
}

void Judge::CheckPurged(const SourceFacts& facts) {
  if (!options_.resume_set) {
    if (facts.gtid_purged.empty()) {
      Ok("gap", "the source still has its binary logs from the beginning");
    } else {
      Warn("gap",
           source_ + " has purged " + std::to_string(facts.gtid_purged.Count()) +
               " transactions: " + Shortened(facts.gtid_purged),
           "a new archive begins behind them, and a restore needs a base backup that has them");
      report_.findings.back().gtids = facts.gtid_purged;
    }
    return;
  }
  GtidSet missing = facts.gtid_purged.Minus(*options_.resume_set);
  if (missing.empty()) {
    Ok("gap", "the source has purged nothing that the archive lacks");
    return;
  }
  std::string text = Shortened(missing);
  Error("gap", source_ + " has purged transactions that the archive lacks: " + text,
        "take them from another server that still has them; or go on behind them (adopt_purged = "
        "true) and fill the gap from copies of its binary logs (pitr import), or take a new base "
        "backup and acknowledge it (pitr gap ack); raise binlog_expire_logs_seconds on the source",
        Code::kGap, std::move(missing));
}

}  // namespace

PreflightReport JudgeSource(const SourceSettings& settings, const PreflightOptions& options) {
  return Judge(settings, options).Run();
}

}  // namespace tidemark
