// Transactions, targets and boundaries.
#include "tools/rpc/convert.h"
#include "tools/rpc/convert_fields.h"

namespace tidemark::rpc {
namespace {

v1::TransactionKind KindToMessage(TransactionKind kind) {
  switch (kind) {
    case TransactionKind::kRows: return v1::TRANSACTION_KIND_ROWS;
    case TransactionKind::kDdl: return v1::TRANSACTION_KIND_DDL;
    case TransactionKind::kXaPrepare: return v1::TRANSACTION_KIND_XA_PREPARE;
    case TransactionKind::kXaEnd: return v1::TRANSACTION_KIND_XA_END;
    case TransactionKind::kEmpty: return v1::TRANSACTION_KIND_EMPTY;
  }
  return v1::TRANSACTION_KIND_UNSPECIFIED;
}

Result<TransactionKind> KindFromMessage(v1::TransactionKind kind) {
  switch (kind) {
    case v1::TRANSACTION_KIND_ROWS: return TransactionKind::kRows;
    case v1::TRANSACTION_KIND_DDL: return TransactionKind::kDdl;
    case v1::TRANSACTION_KIND_XA_PREPARE: return TransactionKind::kXaPrepare;
    case v1::TRANSACTION_KIND_XA_END: return TransactionKind::kXaEnd;
    case v1::TRANSACTION_KIND_EMPTY: return TransactionKind::kEmpty;
    default: return UnknownValue("transaction.kind", kind);
  }
}

void AddDetails(const Transaction& transaction, v1::Transaction* message) {
  message->set_kind(KindToMessage(transaction.kind));
  message->set_compressed(transaction.compressed);
  for (const TableTouch& touch : transaction.tables) {
    v1::TableTouch* table = message->add_tables();
    table->set_schema(ValidUtf8(touch.schema));
    table->set_table(ValidUtf8(touch.table));
    table->set_inserted(touch.inserted);
    table->set_updated(touch.updated);
    table->set_deleted(touch.deleted);
  }
  message->set_tables_omitted(transaction.tables_omitted);
  message->set_schema(ValidUtf8(transaction.ddl_schema));
  SetStatement(transaction.ddl_statement, message);
}

Status TakeDetails(const v1::Transaction& message, Transaction* transaction) {
  TM_ASSIGN_OR_RETURN(transaction->kind, KindFromMessage(message.kind()));
  transaction->compressed = message.compressed();
  for (const v1::TableTouch& table : message.tables())
    transaction->tables.push_back(
        {table.schema(), table.table(), table.inserted(), table.updated(), table.deleted()});
  transaction->tables_omitted = message.tables_omitted();
  transaction->ddl_schema = message.schema();
  transaction->ddl_statement = StatementOf(message);
  return OkStatus();
}

Result<std::optional<Located>> OptionalFrom(bool there, const v1::Transaction& message) {
  if (!there) return std::optional<Located>();
  TM_ASSIGN_OR_RETURN(Located located, FromMessage(message));
  return std::optional<Located>(std::move(located));
}

}  // namespace

v1::Transaction ToMessage(const Located& located) {
  const Transaction& transaction = located.transaction;
  v1::Transaction message;
  message.set_gtid(transaction.gtid.ToString());
  message.set_commit_time_us(transaction.immediate_commit_us);
  message.set_original_commit_time_us(transaction.original_commit_us);
  message.set_segment(located.segment);
  message.set_frame(located.frame);
  message.set_raw_begin(transaction.begin_offset);
  message.set_raw_end(transaction.end_offset);
  message.set_source_file(ValidUtf8(located.source_file));
  message.set_source_begin(located.source_begin);
  message.set_source_log_pos(transaction.source_end_pos);
  message.set_last_committed(transaction.last_committed);
  message.set_sequence_number(transaction.sequence_number);
  message.set_details_known(located.details_known);
  if (located.details_known) AddDetails(transaction, &message);
  return message;
}

Result<Located> FromMessage(const v1::Transaction& message) {
  Located located;
  Transaction& transaction = located.transaction;
  TM_ASSIGN_OR_RETURN(transaction.gtid, GtidOf(message.gtid(), "transaction.gtid"));
  transaction.immediate_commit_us = message.commit_time_us();
  transaction.original_commit_us = message.original_commit_time_us();
  located.segment = message.segment();
  located.frame = message.frame();
  transaction.begin_offset = message.raw_begin();
  transaction.end_offset = message.raw_end();
  if (message.raw_end() < message.raw_begin())
    return Status(Code::kCorruption, "transaction " + message.gtid() + " ends before it begins");
  located.source_file = message.source_file();
  located.source_begin = message.source_begin();
  transaction.source_end_pos = message.source_log_pos();
  transaction.last_committed = message.last_committed();
  transaction.sequence_number = message.sequence_number();
  located.details_known = message.details_known();
  if (located.details_known) TM_RETURN_IF_ERROR(TakeDetails(message, &transaction));
  return located;
}

v1::Target ToMessage(const Target& target) {
  const bool before = target.edge == Edge::kBefore;
  v1::Target message;
  switch (target.kind) {
    case TargetKind::kGtid:
      (before ? message.mutable_before_gtid() : message.mutable_through_gtid())
          ->assign(target.gtid.ToString());
      break;
    case TargetKind::kTime:
      if (before)
        message.set_before_time_us(target.time_us);
      else
        message.set_through_time_us(target.time_us);
      break;
    case TargetKind::kLatest: message.set_latest(true); break;
  }
  return message;
}

Result<Target> FromMessage(const v1::Target& message) {
  Target target;
  switch (message.point_case()) {
    case v1::Target::kBeforeGtid:
    case v1::Target::kThroughGtid: {
      const bool before = message.has_before_gtid();
      target.kind = TargetKind::kGtid;
      target.edge = before ? Edge::kBefore : Edge::kThrough;
      TM_ASSIGN_OR_RETURN(target.gtid,
                          GtidOf(before ? message.before_gtid() : message.through_gtid(),
                                 before ? "target.before_gtid" : "target.through_gtid"));
      return target;
    }
    case v1::Target::kBeforeTimeUs:
    case v1::Target::kThroughTimeUs: {
      const bool before = message.has_before_time_us();
      target.kind = TargetKind::kTime;
      target.edge = before ? Edge::kBefore : Edge::kThrough;
      target.time_us = before ? message.before_time_us() : message.through_time_us();
      if (target.time_us < 0)
        return Status(Code::kCorruption, "target: a time before 1970",
                      "times are microseconds since 1970-01-01T00:00:00Z");
      return target;
    }
    case v1::Target::kLatest:
      if (message.latest()) return target;
      break;
    case v1::Target::POINT_NOT_SET: break;
  }
  return Status(Code::kCorruption, "no target is given",
                "set one of before_gtid, through_gtid, before_time_us, through_time_us, latest");
}

v1::Boundary ToMessage(const Boundary& boundary) {
  v1::Boundary message;
  if (boundary.last_included) *message.mutable_last_included() = ToMessage(*boundary.last_included);
  if (boundary.first_excluded)
    *message.mutable_first_excluded() = ToMessage(*boundary.first_excluded);
  message.set_set(boundary.set.ToString());
  message.set_clock_note(boundary.clock_note);
  return message;
}

Result<Boundary> FromMessage(const v1::Boundary& message) {
  Boundary boundary;
  TM_ASSIGN_OR_RETURN(boundary.last_included,
                      OptionalFrom(message.has_last_included(), message.last_included()));
  TM_ASSIGN_OR_RETURN(boundary.first_excluded,
                      OptionalFrom(message.has_first_excluded(), message.first_excluded()));
  TM_ASSIGN_OR_RETURN(boundary.set, SetOf(message.set(), "boundary.set"));
  boundary.clock_note = message.clock_note();
  return boundary;
}

v1::LocateResponse ToMessage(const Neighbourhood& around) {
  v1::LocateResponse message;
  *message.mutable_found() = ToMessage(around.found);
  if (around.previous) *message.mutable_previous() = ToMessage(*around.previous);
  if (around.next) *message.mutable_next() = ToMessage(*around.next);
  return message;
}

Result<Neighbourhood> FromMessage(const v1::LocateResponse& message) {
  Neighbourhood around;
  TM_ASSIGN_OR_RETURN(around.found, FromMessage(message.found()));
  TM_ASSIGN_OR_RETURN(around.previous, OptionalFrom(message.has_previous(), message.previous()));
  TM_ASSIGN_OR_RETURN(around.next, OptionalFrom(message.has_next(), message.next()));
  return around;
}

v1::LocateRequest ToMessage(const Place& place) {
  v1::LocateRequest message;
  if (const auto* gtid = std::get_if<Gtid>(&place)) message.set_gtid(gtid->ToString());
  if (const auto* from = std::get_if<CommittedFrom>(&place)) message.set_time_us(from->time_us);
  if (const auto* at = std::get_if<FilePosition>(&place)) {
    message.mutable_position()->set_file(ValidUtf8(at->file));
    message.mutable_position()->set_position(at->position);
  }
  return message;
}

Result<Place> FromMessage(const v1::LocateRequest& message) {
  switch (message.at_case()) {
    case v1::LocateRequest::kGtid: {
      TM_ASSIGN_OR_RETURN(Gtid gtid, GtidOf(message.gtid(), "gtid"));
      return Place(std::move(gtid));
    }
    case v1::LocateRequest::kTimeUs: return Place(CommittedFrom{message.time_us()});
    case v1::LocateRequest::kPosition:
      return Place(FilePosition{message.position().file(), message.position().position()});
    case v1::LocateRequest::AT_NOT_SET: break;
  }
  return Status(Code::kCorruption, "it is not said what to locate",
                "set one of gtid, time_us, position");
}

}  // namespace tidemark::rpc
