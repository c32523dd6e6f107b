// What the archive has of a source, and what can be done with it.
#include "tools/rpc/convert.h"

#include "tools/rpc/convert_fields.h"

namespace tidemark::rpc {
namespace {

v1::SealReason ReasonToMessage(SealReason reason) {
  switch (reason) {
    case SealReason::kRotation: return v1::SEAL_REASON_ROTATION;
    case SealReason::kSize: return v1::SEAL_REASON_SIZE;
    case SealReason::kAge: return v1::SEAL_REASON_AGE;
    case SealReason::kStop: return v1::SEAL_REASON_STOP;
    case SealReason::kRecovery: return v1::SEAL_REASON_RECOVERY;
    case SealReason::kSourceChange: return v1::SEAL_REASON_SOURCE_CHANGE;
    case SealReason::kRequest: return v1::SEAL_REASON_REQUEST;
  }
  return v1::SEAL_REASON_UNSPECIFIED;
}

Result<SealReason> ReasonFromMessage(v1::SealReason reason) {
  switch (reason) {
    case v1::SEAL_REASON_ROTATION: return SealReason::kRotation;
    case v1::SEAL_REASON_SIZE: return SealReason::kSize;
    case v1::SEAL_REASON_AGE: return SealReason::kAge;
    case v1::SEAL_REASON_STOP: return SealReason::kStop;
    case v1::SEAL_REASON_RECOVERY: return SealReason::kRecovery;
    case v1::SEAL_REASON_SOURCE_CHANGE: return SealReason::kSourceChange;
    case v1::SEAL_REASON_REQUEST: return SealReason::kRequest;
    default: return UnknownValue("segment.seal_reason", reason);
  }
}

v1::TableName ToMessage(const TableName& name) {
  v1::TableName message;
  message.set_schema(ValidUtf8(name.schema));
  message.set_table(ValidUtf8(name.table));
  return message;
}

Result<TableName> FromMessage(const v1::TableName& message) {
  return TableName{message.schema(), message.table()};
}

v1::PlannedSegment ToMessage(const PlannedSegment& segment) {
  v1::PlannedSegment message;
  message.set_number(segment.number);
  message.set_source_file(ValidUtf8(segment.source_file));
  message.set_transactions(segment.transactions);
  message.set_raw_bytes(segment.raw_bytes);
  message.set_stored_bytes(segment.stored_bytes);
  return message;
}

Result<PlannedSegment> FromMessage(const v1::PlannedSegment& message) {
  return PlannedSegment{message.number(), message.source_file(), message.transactions(),
                        message.raw_bytes(), message.stored_bytes()};
}

v1::VerifyFinding ToMessage(const VerifyFinding& finding) {
  v1::VerifyFinding message;
  message.set_code(CodeName(finding.code));
  message.set_segment(finding.segment);
  message.set_message(ValidUtf8(finding.message));
  return message;
}

Result<VerifyFinding> FromMessage(const v1::VerifyFinding& message) {
  for (int value = 1; value <= static_cast<int>(Code::kIo); ++value) {
    const Code code = static_cast<Code>(value);
    if (message.code() == CodeName(code))
      return VerifyFinding{code, message.segment(), message.message()};
  }
  return Status(Code::kUnsupportedFormat, "a finding of the unknown class '" + message.code() + "'",
                "the server is newer than this program");
}

v1::DaemonStatus ToMessage(const LiveState& live) {
  v1::DaemonStatus message;
  message.set_state(live.state);
  message.set_server(live.server);
  message.set_server_version(live.server_version);
  message.set_semi_sync(live.semi_sync);
  for (const LiveReplica& replica : live.replicas) {
    v1::Replica* added = message.add_replicas();
    added->set_peer(replica.peer);
    added->set_user(replica.user);
    added->set_server_id(replica.server_id);
    added->set_server_uuid(replica.server_uuid);
    added->set_tls(replica.tls);
    added->set_since_us(replica.since_us);
  }
  if (live.error) {
    message.mutable_error()->set_code(live.error->code);
    message.mutable_error()->set_message(live.error->message);
    message.mutable_error()->set_hint(live.error->hint);
  }
  if (live.paused) *message.mutable_paused() = rpc::ToMessage(*live.paused);
  if (live.gap_ahead) {
    message.mutable_gap_ahead()->set_missing(live.gap_ahead->missing);
    message.mutable_gap_ahead()->set_reason(live.gap_ahead->reason);
    message.mutable_gap_ahead()->set_noticed_us(live.gap_ahead->noticed_us);
  }
  return message;
}

LiveState LiveFromMessage(const v1::DaemonStatus& message) {
  LiveState live;
  live.state = message.state();
  live.server = message.server();
  live.server_version = message.server_version();
  live.semi_sync = message.semi_sync();
  for (const v1::Replica& replica : message.replicas())
    live.replicas.push_back({replica.peer(), replica.user(), replica.server_id(),
                             replica.server_uuid(), replica.tls(), replica.since_us()});
  if (message.has_error())
    live.error = {message.error().code(), message.error().message(), message.error().hint()};
  if (message.has_paused()) live.paused = rpc::FromMessage(message.paused());
  if (message.has_gap_ahead())
    live.gap_ahead = {message.gap_ahead().missing(), message.gap_ahead().reason(),
                      message.gap_ahead().noticed_us()};
  return live;
}

bool IsEmpty(const GapRecord& gap) {
  return gap.missing.empty() && gap.reason.empty() && gap.noticed_us == 0;
}

}  // namespace

// Behind the namespace above: its overloads take part, too.
template <typename Values, typename Messages>
static void AddAll(const Values& values, Messages* messages) {
  for (const auto& value : values) *messages->Add() = ToMessage(value);
}

template <typename Messages, typename Value>
static Status TakeAll(const Messages& messages, std::vector<Value>* values) {
  for (const auto& message : messages) {
    TM_ASSIGN_OR_RETURN(Value value, FromMessage(message));
    values->push_back(std::move(value));
  }
  return OkStatus();
}

Status AsUsage(const Status& error) { return Status(Code::kUsage, error.message(), error.hint()); }

v1::Gap ToMessage(const GapRecord& gap) {
  v1::Gap message;
  message.set_missing(gap.missing.ToString());
  message.set_reason(ValidUtf8(gap.reason));
  message.set_noticed_us(gap.noticed_us);
  return message;
}

Result<GapRecord> FromMessage(const v1::Gap& message) {
  GapRecord gap;
  TM_ASSIGN_OR_RETURN(gap.missing, SetOf(message.missing(), "gap.missing"));
  gap.reason = message.reason();
  gap.noticed_us = message.noticed_us();
  return gap;
}

v1::OperatorNote ToMessage(const OperatorNote& note) {
  v1::OperatorNote message;
  message.set_by(ValidUtf8(note.by));
  message.set_at_us(note.at_us);
  message.set_reason(ValidUtf8(note.reason));
  return message;
}

OperatorNote FromMessage(const v1::OperatorNote& message) {
  return {message.by(), message.at_us(), message.reason()};
}

v1::GapAcknowledgement ToMessage(const GapAcknowledgement& acknowledgement) {
  v1::GapAcknowledgement message;
  message.set_gtids(acknowledgement.gtids.ToString());
  *message.mutable_note() = ToMessage(acknowledgement.note);
  return message;
}

Result<GapAcknowledgement> FromMessage(const v1::GapAcknowledgement& message) {
  GapAcknowledgement acknowledgement;
  TM_ASSIGN_OR_RETURN(acknowledgement.gtids, SetOf(message.gtids(), "acknowledgement.gtids"));
  acknowledgement.note = FromMessage(message.note());
  return acknowledgement;
}

v1::Coverage ToMessage(const Coverage& coverage) {
  v1::Coverage message;
  message.set_archived(coverage.archived.ToString());
  message.set_transactions(coverage.archived.Count());
  message.set_before(coverage.before.ToString());
  AddAll(coverage.gaps, message.mutable_gaps());
  message.set_end(coverage.end.ToString());
  message.set_acknowledged(coverage.acknowledged.ToString());
  AddAll(coverage.acknowledgements, message.mutable_acknowledgements());
  message.set_acknowledgements_error(ValidUtf8(coverage.acknowledgements_error));
  return message;
}

Result<Coverage> FromMessage(const v1::Coverage& message) {
  Coverage coverage;
  TM_ASSIGN_OR_RETURN(coverage.archived, SetOf(message.archived(), "coverage.archived"));
  TM_ASSIGN_OR_RETURN(coverage.before, SetOf(message.before(), "coverage.before"));
  TM_RETURN_IF_ERROR(TakeAll(message.gaps(), &coverage.gaps));
  TM_ASSIGN_OR_RETURN(coverage.end, SetOf(message.end(), "coverage.end"));
  TM_ASSIGN_OR_RETURN(coverage.acknowledged,
                      SetOf(message.acknowledged(), "coverage.acknowledged"));
  TM_RETURN_IF_ERROR(TakeAll(message.acknowledgements(), &coverage.acknowledgements));
  coverage.acknowledgements_error = message.acknowledgements_error();
  return coverage;
}

v1::Segment ToMessage(const SegmentRecord& segment, const std::string& path) {
  const SegmentHeader& header = segment.header;
  v1::Segment message;
  message.set_number(header.number);
  message.set_server_uuid(header.server_uuid.ToString());
  message.set_source_file(ValidUtf8(header.source_file));
  message.set_source_start(header.source_start);
  message.set_prefix_bytes(header.prefix_bytes);
  message.set_raw_bytes(segment.raw_bytes);
  message.set_stored_bytes(segment.stored_bytes);
  message.set_transactions(segment.transactions);
  message.set_gtids(segment.gtids.ToString());
  message.set_previous(header.previous.ToString());
  if (!IsEmpty(header.gap)) *message.mutable_gap() = ToMessage(header.gap);
  message.set_created_us(header.created_us);
  message.set_first_commit_us(segment.first_commit_us);
  message.set_last_commit_us(segment.last_commit_us);
  message.set_commit_high_us(segment.commit_high_us);
  message.set_sealed(segment.sealed);
  if (segment.sealed) message.set_seal_reason(ReasonToMessage(segment.reason));
  message.set_ends_source_file(segment.ends_source_file);
  message.set_path(ValidUtf8(path));
  message.set_source_name(header.source_name);
  message.set_format_version(header.format_version);
  return message;
}

Result<SegmentRecord> FromMessage(const v1::Segment& message) {
  SegmentRecord segment;
  SegmentHeader& header = segment.header;
  header.number = message.number();
  Result<Uuid> uuid = Uuid::Parse(message.server_uuid());
  if (!uuid.ok()) return NotSuch("segment.server_uuid", uuid.error());
  header.server_uuid = *uuid;
  header.source_file = message.source_file();
  header.source_start = message.source_start();
  header.prefix_bytes = message.prefix_bytes();
  segment.raw_bytes = message.raw_bytes();
  segment.stored_bytes = message.stored_bytes();
  segment.transactions = message.transactions();
  TM_ASSIGN_OR_RETURN(segment.gtids, SetOf(message.gtids(), "segment.gtids"));
  TM_ASSIGN_OR_RETURN(header.previous, SetOf(message.previous(), "segment.previous"));
  TM_ASSIGN_OR_RETURN(header.gap, FromMessage(message.gap()));
  header.created_us = message.created_us();
  segment.first_commit_us = message.first_commit_us();
  segment.last_commit_us = message.last_commit_us();
  segment.commit_high_us = message.commit_high_us();
  segment.sealed = message.sealed();
  if (segment.sealed) {
    TM_ASSIGN_OR_RETURN(segment.reason, ReasonFromMessage(message.seal_reason()));
  }
  segment.ends_source_file = message.ends_source_file();
  header.source_name = message.source_name();
  header.format_version = static_cast<uint16_t>(message.format_version());
  return segment;
}

v1::Surgery ToMessage(const Surgery& surgery) {
  v1::Surgery message;
  message.set_skip(surgery.skip.ToString());
  message.set_leave_out(surgery.leave_out.ToString());
  AddAll(surgery.only_tables, message.mutable_only_tables());
  for (const std::string& schema : surgery.only_schemas)
    message.add_only_schemas(ValidUtf8(schema));
  AddAll(surgery.without_tables, message.mutable_without_tables());
  return message;
}

Result<Surgery> FromMessage(const v1::Surgery& message) {
  Surgery surgery;
  TM_ASSIGN_OR_RETURN(surgery.skip, SetOf(message.skip(), "surgery.skip"));
  TM_ASSIGN_OR_RETURN(surgery.leave_out, SetOf(message.leave_out(), "surgery.leave_out"));
  TM_RETURN_IF_ERROR(TakeAll(message.only_tables(), &surgery.only_tables));
  surgery.only_schemas.assign(message.only_schemas().begin(), message.only_schemas().end());
  TM_RETURN_IF_ERROR(TakeAll(message.without_tables(), &surgery.without_tables));
  return surgery;
}

v1::Plan ToMessage(const Plan& plan) {
  v1::Plan message;
  message.set_source(plan.source);
  *message.mutable_target() = ToMessage(plan.target);
  message.set_base(plan.base.ToString());
  *message.mutable_boundary() = ToMessage(plan.boundary);
  message.set_to_apply(plan.to_apply.ToString());
  message.set_transactions(plan.transactions);
  message.set_end_set(plan.end_set.ToString());
  AddAll(plan.segments, message.mutable_segments());
  message.set_raw_bytes(plan.raw_bytes);
  for (const std::string& warning : plan.warnings) message.add_warnings(ValidUtf8(warning));
  *message.mutable_surgery() = ToMessage(plan.surgery);
  for (const std::string& line : DescribeSurgery(plan.surgery))
    message.add_surgery_description(ValidUtf8(line));
  message.set_apply_bytes(plan.apply_bytes);
  *message.mutable_lineage() = ToMessage(plan.lineage);
  return message;
}

Result<Plan> FromMessage(const v1::Plan& message) {
  Plan plan;
  plan.source = message.source();
  TM_ASSIGN_OR_RETURN(plan.target, FromMessage(message.target()));
  TM_ASSIGN_OR_RETURN(plan.base, SetOf(message.base(), "plan.base"));
  TM_ASSIGN_OR_RETURN(plan.boundary, FromMessage(message.boundary()));
  TM_ASSIGN_OR_RETURN(plan.to_apply, SetOf(message.to_apply(), "plan.to_apply"));
  plan.transactions = message.transactions();
  TM_ASSIGN_OR_RETURN(plan.end_set, SetOf(message.end_set(), "plan.end_set"));
  TM_RETURN_IF_ERROR(TakeAll(message.segments(), &plan.segments));
  plan.raw_bytes = message.raw_bytes();
  plan.apply_bytes = message.apply_bytes();
  plan.warnings.assign(message.warnings().begin(), message.warnings().end());
  TM_ASSIGN_OR_RETURN(plan.surgery, FromMessage(message.surgery()));
  TM_ASSIGN_OR_RETURN(plan.lineage, FromMessage(message.lineage()));
  return plan;
}

v1::SourceStatus ToMessage(const SourceSummary& summary, const std::optional<LiveState>& live) {
  v1::SourceStatus message;
  message.set_source(summary.source);
  message.set_transactions(summary.transactions);
  message.set_segments(summary.segments);
  message.set_raw_bytes(summary.raw_bytes);
  message.set_stored_bytes(summary.stored_bytes);
  message.set_first_commit_us(summary.first_commit_us);
  message.set_last_commit_us(summary.last_commit_us);
  *message.mutable_coverage() = ToMessage(summary.coverage);
  if (summary.end) {
    message.mutable_place()->set_server_uuid(summary.end->server_uuid);
    message.mutable_place()->set_file(ValidUtf8(summary.end->file));
    message.mutable_place()->set_position(summary.end->position);
  }
  *message.mutable_lineage() = ToMessage(summary.lineage);
  if (live) *message.mutable_daemon() = ToMessage(*live);
  return message;
}

Result<SourceStatus> FromMessage(const v1::SourceStatus& message) {
  SourceStatus status;
  SourceSummary& summary = status.summary;
  summary.source = message.source();
  summary.transactions = message.transactions();
  summary.segments = message.segments();
  summary.raw_bytes = message.raw_bytes();
  summary.stored_bytes = message.stored_bytes();
  summary.first_commit_us = message.first_commit_us();
  summary.last_commit_us = message.last_commit_us();
  TM_ASSIGN_OR_RETURN(summary.coverage, FromMessage(message.coverage()));
  if (message.has_place())
    summary.end = {message.place().server_uuid(), message.place().file(),
                   message.place().position()};
  TM_ASSIGN_OR_RETURN(summary.lineage, FromMessage(message.lineage()));
  if (message.has_daemon()) status.live = LiveFromMessage(message.daemon());
  return status;
}

v1::VerifyReport ToMessage(const VerifyReport& report) {
  v1::VerifyReport message;
  message.set_segments(report.segments);
  message.set_transactions(report.transactions);
  message.set_raw_bytes(report.raw_bytes);
  message.set_stored_bytes(report.stored_bytes);
  message.set_gtids(report.gtids.ToString());
  AddAll(report.findings, message.mutable_findings());
  AddAll(report.gaps, message.mutable_gaps());
  message.set_not_indexed_yet(report.not_indexed_yet);
  return message;
}

Result<VerifyReport> FromMessage(const v1::VerifyReport& message) {
  VerifyReport report;
  report.segments = message.segments();
  report.transactions = message.transactions();
  report.raw_bytes = message.raw_bytes();
  report.stored_bytes = message.stored_bytes();
  TM_ASSIGN_OR_RETURN(report.gtids, SetOf(message.gtids(), "verify.gtids"));
  TM_RETURN_IF_ERROR(TakeAll(message.findings(), &report.findings));
  TM_RETURN_IF_ERROR(TakeAll(message.gaps(), &report.gaps));
  report.not_indexed_yet = message.not_indexed_yet();
  return report;
}

}  // namespace tidemark::rpc
