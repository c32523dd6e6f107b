// The timeline: what happened, in order of time; and the lineages of sources, which it tells of.
#include "tools/rpc/convert.h"
#include "tools/rpc/convert_fields.h"

namespace tidemark::rpc {
namespace {

Result<Uuid> AnyUuid(const std::string& text, const char* field) {
  Result<Uuid> uuid = Uuid::Parse(text);
  if (!uuid.ok()) return NotSuch(field, uuid.error());
  return uuid;
}

v1::TimelineEntry EntryMessage(const TimelineEntry& entry) {
  v1::TimelineEntry message;
  message.set_time_us(entry.time_us);
  if (const auto* ddl = std::get_if<TimelineDdl>(&entry.event)) {
    message.mutable_ddl()->set_gtid(ddl->gtid.ToString());
    message.mutable_ddl()->set_schema(ValidUtf8(ddl->schema));
    SetStatement(ddl->statement, message.mutable_ddl());
  } else if (const auto* large = std::get_if<LargeTransaction>(&entry.event)) {
    message.mutable_large_transaction()->set_gtid(large->gtid.ToString());
    message.mutable_large_transaction()->set_bytes(large->bytes);
  } else if (const auto* gap = std::get_if<GapRecord>(&entry.event)) {
    *message.mutable_gap() = ToMessage(*gap);
  } else if (const auto* fork = std::get_if<LineageFork>(&entry.event)) {
    *message.mutable_lineage() = ToMessage(*fork);
  } else {
    const ServerChange& change = std::get<ServerChange>(entry.event);
    v1::TimelineServer* server = message.mutable_server();
    server->set_server_uuid(change.server_uuid.ToString());
    server->set_previous_server_uuid(change.previous_server_uuid.ToString());
    server->set_source_file(ValidUtf8(change.source_file));
    server->set_source_position(change.source_position);
    server->set_segment(change.segment);
    server->set_behind(change.behind.ToString());
  }
  return message;
}

// In place: GCC 12 takes the variant that a Result moves for an uninitialized one.
Status TakeEntry(const v1::TimelineEntry& message, TimelineEntry* entry) {
  entry->time_us = message.time_us();
  switch (message.event_case()) {
    case v1::TimelineEntry::kDdl: {
      TimelineDdl& ddl = entry->event.emplace<TimelineDdl>();
      TM_ASSIGN_OR_RETURN(ddl.gtid, GtidOf(message.ddl().gtid(), "timeline.ddl.gtid"));
      ddl.schema = message.ddl().schema();
      ddl.statement = StatementOf(message.ddl());
      return OkStatus();
    }
    case v1::TimelineEntry::kLargeTransaction: {
      LargeTransaction& large = entry->event.emplace<LargeTransaction>();
      large.bytes = message.large_transaction().bytes();
      TM_ASSIGN_OR_RETURN(large.gtid, GtidOf(message.large_transaction().gtid(),
                                             "timeline.large_transaction.gtid"));
      return OkStatus();
    }
    case v1::TimelineEntry::kGap: {
      TM_ASSIGN_OR_RETURN(entry->event.emplace<GapRecord>(), FromMessage(message.gap()));
      return OkStatus();
    }
    case v1::TimelineEntry::kServer: {
      ServerChange& change = entry->event.emplace<ServerChange>();
      const v1::TimelineServer& server = message.server();
      TM_ASSIGN_OR_RETURN(change.server_uuid,
                          AnyUuid(server.server_uuid(), "timeline.server.server_uuid"));
      TM_ASSIGN_OR_RETURN(
          change.previous_server_uuid,
          AnyUuid(server.previous_server_uuid(), "timeline.server.previous_server_uuid"));
      change.source_file = server.source_file();
      change.source_position = server.source_position();
      change.segment = server.segment();
      TM_ASSIGN_OR_RETURN(change.behind, SetOf(server.behind(), "timeline.server.behind"));
      return OkStatus();
    }
    case v1::TimelineEntry::kLineage: {
      TM_ASSIGN_OR_RETURN(entry->event.emplace<LineageFork>(), FromMessage(message.lineage()));
      return OkStatus();
    }
    case v1::TimelineEntry::EVENT_NOT_SET: break;
  }
  return Status(Code::kUnsupportedFormat, "the timeline has an entry of an unknown kind",
                "the server is newer than this program");
}

}  // namespace

v1::LineageFork ToMessage(const LineageFork& fork) {
  v1::LineageFork message;
  message.set_source(fork.source);
  message.set_continues(fork.fork.parent);
  message.set_since_us(fork.fork.at_us);
  message.set_behind(fork.fork.set.ToString());
  message.set_lost(fork.fork.lost.ToString());
  message.set_segment(fork.fork.segment);
  return message;
}

Result<LineageFork> FromMessage(const v1::LineageFork& message) {
  LineageFork fork;
  fork.source = message.source();
  fork.fork.parent = message.continues();
  fork.fork.at_us = message.since_us();
  TM_ASSIGN_OR_RETURN(fork.fork.set, SetOf(message.behind(), "lineage.behind"));
  TM_ASSIGN_OR_RETURN(fork.fork.lost, SetOf(message.lost(), "lineage.lost"));
  fork.fork.segment = message.segment();
  return fork;
}

v1::Lineage ToMessage(const Lineage& lineage) {
  v1::Lineage message;
  for (const LineageFork& fork : lineage.continues) *message.add_continues() = ToMessage(fork);
  for (const LineageFork& fork : lineage.continued_by)
    *message.add_continued_by() = ToMessage(fork);
  return message;
}

Result<Lineage> FromMessage(const v1::Lineage& message) {
  Lineage lineage;
  for (const v1::LineageFork& fork : message.continues()) {
    TM_ASSIGN_OR_RETURN(lineage.continues.emplace_back(), FromMessage(fork));
  }
  for (const v1::LineageFork& fork : message.continued_by()) {
    TM_ASSIGN_OR_RETURN(lineage.continued_by.emplace_back(), FromMessage(fork));
  }
  return lineage;
}

v1::GetTimelineResponse ToMessage(const Timeline& timeline) {
  v1::GetTimelineResponse message;
  message.set_source(timeline.source);
  *message.mutable_coverage() = ToMessage(timeline.coverage);
  for (const TimelineEntry& entry : timeline.entries) *message.add_entries() = EntryMessage(entry);
  message.set_truncated(timeline.truncated);
  return message;
}

Result<Timeline> FromMessage(const v1::GetTimelineResponse& message) {
  Timeline timeline;
  timeline.source = message.source();
  TM_ASSIGN_OR_RETURN(timeline.coverage, FromMessage(message.coverage()));
  timeline.entries.resize(static_cast<size_t>(message.entries_size()));
  for (size_t i = 0; i < timeline.entries.size(); ++i)
    TM_RETURN_IF_ERROR(TakeEntry(message.entries(static_cast<int>(i)), &timeline.entries[i]));
  timeline.truncated = message.truncated();
  return timeline;
}

}  // namespace tidemark::rpc
