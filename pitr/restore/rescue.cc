#include "pitr/restore/rescue.h"

#include <memory>
#include <random>
#include <utility>

#include "pitr/restore/client_access.h"
#include "pitr/restore/running_target.h"
#include "replication/archive/archive_directory.h"
#include "replication/event/stream_scanner.h"
#include "replication/source/mysql_event_source.h"
#include "replication/source/source_origins.h"

namespace tidemark {
namespace {

// Of the short dump by which histories are compared. No replica should have such a server_id.
constexpr uint32_t kServerIdMin = 1u << 31;
constexpr int64_t kHeartbeatUs = 5'000'000;

// Of `some` (not empty) the first in archive order.
Result<Gtid> FirstOf(SourceAccess& source, const Rescue& rescue, const GtidSet& some) {
  Gtid first;
  TM_RETURN_IF_ERROR(ReadRescued(source, rescue, some,
                                 [&](const Transaction& transaction) {
                                   first = transaction.gtid;
                                   return false;
                                 },
                                 {}));
  return first;
}

Status Refused(SourceAccess& source, const Rescue& rescue, const GtidSet& executed,
               const Status& why) {
  const GtidSet left = rescue.missing.Minus(executed);
  if (left.empty()) return why;
  const Result<Gtid> first = FirstOf(source, rescue, left);  // the pipe is one session
  if (!first.ok()) return why;
  const std::string rejected = first->ToString();
  return Status(Code::kTargetRefused, "transaction " + rejected + ": " + why.message(),
                why.hint() +
                    ". If it is in conflict with what is on the server, undo that there, or apply "
                    "it by hand and commit an empty transaction under its GTID "
                    "(SET gtid_next = '" +
                    rejected + "'; BEGIN; COMMIT; SET gtid_next = AUTOMATIC), and repeat this");
}

}  // namespace

Result<Rescue> PlanRescue(SourceAccess& source, const GtidSet& executed) {
  TM_ASSIGN_OR_RETURN(const Coverage coverage, source.ReadCoverage());
  if (!executed.Intersects(coverage.end))
    return Status(Code::kUsage,
                  "the server has none of the transactions of source " + source.source() +
                      ": this is no server that lost some of them",
                  "pitr restore brings a server to any point of the archive");
  Rescue rescue;
  rescue.source = source.source();
  rescue.missing = coverage.archived.Minus(executed);
  rescue.out_of_reach = coverage.end.Minus(executed).Minus(rescue.missing);
  rescue.own = executed.Minus(coverage.end);
  rescue.last_shared = coverage.archived.Intersection(executed).LastOnes();
  TM_ASSIGN_OR_RETURN(rescue.until, source.Resolve(Target{}));
  if (rescue.missing.empty()) return rescue;
  Target behind;
  behind.kind = TargetKind::kGtid;
  TM_ASSIGN_OR_RETURN(behind.gtid, FirstOf(source, rescue, rescue.missing));
  TM_ASSIGN_OR_RETURN(const Boundary first, source.Resolve(behind));
  rescue.newer = coverage.archived.Intersection(executed).Minus(first.set).Union(rescue.own);
  return rescue;
}

Result<GtidSet> MadeAnew(SourceAccess& source, const Rescue& rescue,
                         const ConnectionOptions& server) {
  GtidSet made_anew;
  if (rescue.last_shared.empty()) return made_anew;
  MySqlEventSource dump(server);
  TM_ASSIGN_OR_RETURN(const SourceFacts facts, dump.Connect());
  OriginsRequest request;
  request.wanted = rescue.last_shared;
  request.apart = true;
  request.server_id = kServerIdMin + std::random_device()() % kServerIdMin;
  request.our_uuid = ArchiveDirectory::NewReplicaUuid();
  request.heartbeat_us = kHeartbeatUs;
  TM_RETURN_IF_ERROR(
      ReadOrigins(dump, facts.server_uuid, request, [&](const TransactionOrigin& theirs) -> Status {
        TM_ASSIGN_OR_RETURN(const FoundPlace ours, source.Locate(theirs.gtid));
        const Transaction& archived = ours.around.found.transaction;
        if (!theirs.MayBe(OriginOf(archived))) made_anew.Add(theirs.gtid);
        return OkStatus();
      }));
  return made_anew;
}

Status ReadRescued(SourceAccess& source, const Rescue& rescue, const GtidSet& only,
                   const OnRescued& each, const EventStream::Sink& sink) {
  TM_CHECK(!only.empty());  // which would mean everything
  StreamScanner scanner({.verify_checksums = false, .expect_magic = true});
  bool enough = false;
  StreamProgress progress;
  const Status read = source.WriteEvents(
      rescue.until, {}, only,
      [&](Bytes bytes) -> Status {
        TM_RETURN_IF_ERROR(scanner.FeedBytes(bytes, [&](const ScannedEvent& event) {
          if (event.finished == nullptr || each(*event.finished)) return OkStatus();
          enough = true;
          return Status(Code::kInterrupted, "enough");
        }));
        return sink ? sink(bytes) : OkStatus();
      },
      &progress);
  return enough ? OkStatus() : read;
}

Status ApplyRescue(FileSystem& files, SourceAccess& source, const Rescue& rescue,
                   const RescueTarget& target, const Applier::OnProgress& on_progress) {
  TM_ASSIGN_OR_RETURN(const auto access, ClientAccess::Make(files, TemporaryDirectory()));
  TM_RETURN_IF_ERROR(access->LogInAs(target.connection));
  TM_ASSIGN_OR_RETURN(const auto connection, access->Connect());
  TM_ASSIGN_OR_RETURN(const TargetFacts facts, InspectRunningTarget(*connection));
  // It is idle while the transactions are applied, however long that takes.
  TM_RETURN_IF_ERROR(ExecuteOnTarget(*connection, "SET SESSION wait_timeout = 31536000"));
  TM_RETURN_IF_ERROR(TakeRestoreLock(*connection));
  const GtidSet missing = rescue.missing.Minus(facts.gtid_executed);
  if (missing.empty()) return OkStatus();
  PipeApplier applier(*access, target.tools);
  const Status applied = applier.ApplyStream(
      [&](const EventStream::Sink& sink, StreamProgress* progress) {
        return source.WriteEvents(rescue.until, {}, missing, sink, progress);
      },
      missing.Count(), on_progress);
  TM_ASSIGN_OR_RETURN(const GtidSet executed, ReadGtidExecuted(*connection));
  if (!applied.ok())
    return applied.code() == Code::kTargetRefused ? Refused(source, rescue, executed, applied)
                                                  : applied;
  const GtidSet lacking = rescue.missing.Minus(executed);
  if (lacking.empty()) return OkStatus();
  return Status(Code::kEndStateNotReached,
                "all was applied, but the server still lacks " + lacking.ToString());
}

}  // namespace tidemark
