#include "tools/cli/remote_source.h"

#include <algorithm>
#include <utility>

#include "proto/rpc/rpc_error.h"
#include "tools/cli/received.h"
#include "tools/cli/remote_feed.h"
#include "tools/rpc/convert.h"

namespace tidemark::cli {
namespace {

// A server takes no time before 1970, where nothing was committed.
v1::Target TargetMessage(Target target) {
  if (target.kind == TargetKind::kTime && target.time_us < 0) {
    target.time_us = 0;
    target.edge = Edge::kBefore;
  }
  return rpc::ToMessage(target);
}

// A target that means the same boundary however the archive grows.
v1::Target Fixed(const Boundary& boundary) {
  v1::Target target;
  if (boundary.first_excluded)
    target.set_before_gtid(boundary.first_excluded->transaction.gtid.ToString());
  else if (boundary.last_included)
    target.set_through_gtid(boundary.last_included->transaction.gtid.ToString());
  else
    target.set_latest(true);
  return target;
}

class RemoteSource : public SourceAccess {
 public:
  RemoteSource(rpc::RpcClientOptions options, std::string source, Remote& remote)
      : options_(std::move(options)), source_(std::move(source)), remote_(remote) {}

  const std::string& source() const override { return source_; }
  Result<Coverage> ReadCoverage() override { return AskCoverage(remote_, source_); }
  Result<std::set<Uuid>> ServerUuids() override { return AskServerUuids(remote_, source_); }
  Result<std::vector<SegmentFile>> ListSegments() override;
  Result<Timeline> ReadTimeline(const TimelineRange& range) override;
  Result<FoundPlace> Locate(const Place& place) override;
  Result<Boundary> Resolve(const Target& target) override;
  Result<ProvedPlan> MakePlan(const Target& target, const GtidSet& base, const Surgery& surgery,
                              bool for_pipe) override;
  Result<Acknowledged> AcknowledgeGaps(const GapAcknowledgement& gaps) override;
  Status WriteEvents(const Boundary& until, const GtidSet& exclude, const GtidSet& only,
                     const EventStream::Sink& sink, StreamProgress* progress) override;
  Status WriteSourceFile(const std::string& file, const EventStream::Sink& sink,
                         bool* complete) override;
  OpenFeed feeds() const override { return RemoteFeeds(options_, source_); }

 private:
  const rpc::RpcClientOptions options_;
  const std::string source_;
  Remote& remote_;
};

Result<std::vector<SegmentFile>> RemoteSource::ListSegments() {
  std::vector<SegmentFile> list;
  v1::ListSegmentsRequest request;
  request.set_source(source_);
  do {
    TM_ASSIGN_OR_RETURN(const auto page,
                        remote_.Ask<v1::ListSegmentsResponse>("ListSegments", request));
    for (const v1::Segment& segment : page.segments()) {
      TM_ASSIGN_OR_RETURN(SegmentRecord record, rpc::FromMessage(segment));
      list.push_back({std::move(record), segment.path()});
    }
    if (page.next_page_token() == request.page_token() && !request.page_token().empty())
      return Status(Code::kCorruption, "the server gives the same page of segments again");
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return list;
}

Result<Timeline> RemoteSource::ReadTimeline(const TimelineRange& range) {
  v1::GetTimelineRequest request;
  request.set_source(source_);
  const TimelineRange everything;
  if (range.from_us != everything.from_us) request.set_from_us(range.from_us);
  if (range.to_us != everything.to_us) request.set_to_us(range.to_us);
  // 0 is the server's default there, not none.
  request.set_limit(static_cast<uint32_t>(std::clamp<size_t>(range.ddl_max, 1, UINT32_MAX)));
  TM_ASSIGN_OR_RETURN(const auto answer,
                      remote_.Ask<v1::GetTimelineResponse>("GetTimeline", request));
  TM_ASSIGN_OR_RETURN(Timeline timeline, rpc::FromMessage(answer));
  if (range.ddl_max > 0) return timeline;
  std::erase_if(timeline.entries, [](const TimelineEntry& entry) {
    return std::holds_alternative<TimelineDdl>(entry.event);
  });
  timeline.truncated = true;
  return timeline;
}

Result<FoundPlace> RemoteSource::Locate(const Place& place) {
  v1::LocateRequest request = rpc::ToMessage(place);
  request.set_source(source_);
  TM_ASSIGN_OR_RETURN(const auto answer,
                      remote_.Ask<v1::LocateResponse>("Locate", request, kReadingDeadline));
  TM_ASSIGN_OR_RETURN(Neighbourhood around, rpc::FromMessage(answer));
  return FoundPlace{std::move(around), answer.segment_path()};
}

Result<Boundary> RemoteSource::Resolve(const Target& target) {
  v1::ResolveTargetRequest request;
  request.set_source(source_);
  *request.mutable_target() = TargetMessage(target);
  TM_ASSIGN_OR_RETURN(const auto answer,
                      remote_.Ask<v1::ResolveTargetResponse>("ResolveTarget", request));
  return rpc::FromMessage(answer.boundary());
}

Result<ProvedPlan> RemoteSource::MakePlan(const Target& target, const GtidSet& base,
                                          const Surgery& surgery, bool for_pipe) {
  v1::PlanRequest request;
  request.set_source(source_);
  *request.mutable_target() = TargetMessage(target);
  request.set_base_gtids(base.ToString());
  *request.mutable_surgery() = rpc::ToMessage(surgery);
  request.set_check_pipe(for_pipe);
  TM_ASSIGN_OR_RETURN(const auto answer,
                      remote_.Ask<v1::PlanResponse>("Plan", request, kReadingDeadline));
  ProvedPlan proved;
  TM_ASSIGN_OR_RETURN(proved.plan, rpc::FromMessage(answer.plan()));
  proved.plan.target = target;
  proved.source_version = answer.source_version();
  proved.source_server_ids.insert(answer.source_server_ids().begin(),
                                  answer.source_server_ids().end());
  return proved;
}

Result<Acknowledged> RemoteSource::AcknowledgeGaps(const GapAcknowledgement& gaps) {
  v1::AcknowledgeGapRequest request;
  request.set_source(source_);
  request.set_gtids(gaps.gtids.ToString());
  request.set_reason(rpc::ValidUtf8(gaps.note.reason));
  request.set_by(rpc::ValidUtf8(gaps.note.by));
  v1::AcknowledgeGapResponse answer;
  TM_RETURN_IF_ERROR(remote_.Call(AdminMethod("AcknowledgeGap"), request, &answer));
  Acknowledged acknowledged;
  Result<GtidSet> added = GtidSet::Parse(answer.added());
  if (!added.ok())
    return Status(Code::kCorruption, "the server does not say what it has acknowledged");
  acknowledged.added = std::move(*added);
  TM_ASSIGN_OR_RETURN(acknowledged.coverage, rpc::FromMessage(answer.coverage()));
  return acknowledged;
}

Status RemoteSource::WriteEvents(const Boundary& until, const GtidSet& exclude, const GtidSet& only,
                                 const EventStream::Sink& sink, StreamProgress* progress) {
  v1::StreamEventsRequest request;
  v1::StreamRange* range = request.mutable_range();
  range->set_source(source_);
  *range->mutable_target() = Fixed(until);
  range->set_exclude(exclude.ToString());
  range->set_only(only.ToString());
  range->set_allow_missing(true);
  ReceivedEvents received;
  const auto ask = [&] {
    received.OnCall();
    range->set_received(received.gtids().ToString());
    return std::make_unique<v1::StreamEventsRequest>(request);
  };
  ResumableStream stream(*remote_.client, StreamMethod("StreamEvents"), ask, remote_.interrupted);
  for (v1::StreamEventsResponse answer;;) {
    TM_ASSIGN_OR_RETURN(const bool more, stream.Next(&answer));
    if (!more) return OkStatus();
    TM_ASSIGN_OR_RETURN(const Bytes bytes, received.OnMessage(answer));
    progress->raw_bytes_given += bytes.size();
    progress->transactions_given = received.transactions();
    if (!bytes.empty()) TM_RETURN_IF_ERROR(sink(bytes));
  }
}

Status RemoteSource::WriteSourceFile(const std::string& file, const EventStream::Sink& sink,
                                     bool* complete) {
  v1::StreamSourceFileRequest request;
  request.set_source(source_);
  request.set_file(file);
  const auto ask = [&] { return std::make_unique<v1::StreamSourceFileRequest>(request); };
  ResumableStream stream(*remote_.client, StreamMethod("StreamSourceFile"), ask,
                         remote_.interrupted);
  for (v1::StreamSourceFileResponse answer;;) {
    TM_ASSIGN_OR_RETURN(const bool more, stream.Next(&answer));
    if (!more || (answer.has_end() && answer.end().position() != request.offset()))
      return Status(Code::kCorruption, "the server's stream of " + file + " has no proper end");
    *complete = answer.end().complete();
    if (answer.has_end()) return OkStatus();
    request.set_offset(request.offset() + answer.data().size());
    TM_RETURN_IF_ERROR(sink(AsBytes(answer.data())));
  }
}

}  // namespace

Result<Coverage> AskCoverage(Remote& remote, const std::string& source) {
  v1::GetStatusRequest request;
  request.set_source(source);
  TM_ASSIGN_OR_RETURN(const auto answer, remote.Ask<v1::GetStatusResponse>("GetStatus", request));
  if (answer.sources_size() != 1)
    return Status(Code::kCorruption, "the server does not tell of source " + source + " alone");
  return rpc::FromMessage(answer.sources(0).coverage());
}

Result<std::set<Uuid>> AskServerUuids(Remote& remote, const std::string& source) {
  TM_ASSIGN_OR_RETURN(const auto answer,
                      remote.Ask<v1::ListSourcesResponse>("ListSources", v1::ListSourcesRequest()));
  std::set<Uuid> uuids;
  for (const v1::Source& one : answer.sources()) {
    if (one.name() != source) continue;
    for (const std::string& text : one.server_uuids()) {
      TM_ASSIGN_OR_RETURN(const Uuid uuid, Uuid::Parse(text));
      uuids.insert(uuid);
    }
  }
  return uuids;
}

Result<std::unique_ptr<SourceAccess>> OpenRemoteSource(const rpc::RpcClientOptions& options,
                                                       const std::string& source, Remote& remote) {
  v1::ListSegmentsRequest request;
  request.set_source(source);
  request.set_page_size(1);
  TM_ASSIGN_OR_RETURN(const auto answer,
                      remote.Ask<v1::ListSegmentsResponse>("ListSegments", request));
  return std::unique_ptr<SourceAccess>(
      std::make_unique<RemoteSource>(options, answer.source(), remote));
}

}  // namespace tidemark::cli
