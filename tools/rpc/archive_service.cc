#include "tools/rpc/archive_service.h"

#include <charconv>

#include "pitr/restore/blockers.h"
#include "pitr/restore/pipe_applier.h"
#include "proto/rpc/rpc_error.h"
#include "tools/rpc/convert.h"

namespace tidemark::rpc {
namespace {

Status Cancelled() { return Status(Code::kInterrupted, "the call was cancelled"); }

// What a request holds; whoever sent it is to blame for what is wrong with it.
#define TM_ASSIGN_FROM_REQUEST(declaration, expression) \
  TM_ASSIGN_FROM_REQUEST_INNER(TM_CONCAT(tm_request_, __LINE__), declaration, expression)
#define TM_ASSIGN_FROM_REQUEST_INNER(result, declaration, expression) \
  auto result = (expression);                                         \
  if (!result.ok()) return AsUsage(result.error());                   \
  declaration = std::move(result.value())

Status GetStatus(SharedArchive& archive, const CallContext& context,
                 const v1::GetStatusRequest& request, v1::GetStatusResponse* response) {
  response->set_archive(ValidUtf8(archive.directory().root()));
  TM_ASSIGN_OR_RETURN(const std::vector<std::string> names, archive.SourceNames(request.source()));
  for (const std::string& name : names) {
    if (context.cancelled()) return Cancelled();
    TM_ASSIGN_OR_RETURN(const auto view, archive.TakeView(name));
    *response->add_sources() = ToMessage(Summarize(*view), archive.LiveStateFor(name));
  }
  return OkStatus();
}

Status ListSources(SharedArchive& archive, const CallContext&, const v1::ListSourcesRequest&,
                   v1::ListSourcesResponse* response) {
  response->set_archive(ValidUtf8(archive.directory().root()));
  TM_ASSIGN_OR_RETURN(const std::vector<std::string> names, archive.directory().Sources());
  for (const std::string& name : names) {
    TM_ASSIGN_OR_RETURN(const SourceIdentity identity, archive.directory().ReadIdentity(name));
    v1::Source* source = response->add_sources();
    source->set_name(name);
    for (const Uuid& uuid : identity.server_uuids) source->add_server_uuids(uuid.ToString());
    source->set_replica_uuid(identity.replica_uuid.ToString());
  }
  return OkStatus();
}

// A page token is the number of the last segment given.
Result<uint64_t> ParsePageToken(const std::string& token) {
  uint64_t after = 0;
  if (token.empty()) return after;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), after);
  if (error != std::errc() || end != token.data() + token.size())
    return Status(Code::kUsage, "that is no page token of ListSegments",
                  "take next_page_token of the answer before");
  return after;
}

Status ListSegments(SharedArchive& archive, const CallContext&,
                    const v1::ListSegmentsRequest& request, v1::ListSegmentsResponse* response) {
  TM_ASSIGN_OR_RETURN(const uint64_t after, ParsePageToken(request.page_token()));
  TM_ASSIGN_OR_RETURN(const auto view, archive.TakeView(request.source()));
  const uint32_t asked = request.page_size() == 0 ? kSegmentsPerPageMax : request.page_size();
  const int count_max = static_cast<int>(std::min(asked, kSegmentsPerPageMax));
  response->set_source(view->source());
  size_t bytes = 0;
  for (const SegmentRecord& segment : view->segments()) {
    if (segment.header.number <= after) continue;
    if (response->segments_size() == count_max || bytes >= kPageBytesMax) {
      response->set_next_page_token(
          std::to_string(response->segments(response->segments_size() - 1).number()));
      break;
    }
    const std::string path = view->archive().SegmentPath(view->source(), segment.header.number);
    v1::Segment* added = response->add_segments();
    *added = ToMessage(segment, path);
    bytes += added->ByteSizeLong();
  }
  return OkStatus();
}

Status GetTimeline(SharedArchive& archive, const CallContext&,
                   const v1::GetTimelineRequest& request, v1::GetTimelineResponse* response) {
  if (request.limit() > kTimelineDdlMax)
    return Status(Code::kUsage,
                  "a timeline of more than " + std::to_string(kTimelineDdlMax) +
                      " DDL statements is asked for",
                  "ask for a narrower range, several times");
  TimelineRange range;
  if (request.has_from_us()) range.from_us = request.from_us();
  if (request.has_to_us()) range.to_us = request.to_us();
  range.ddl_max = request.limit() == 0 ? kTimelineDdlDefault : request.limit();
  TM_ASSIGN_OR_RETURN(const auto view, archive.TakeView(request.source()));
  TM_ASSIGN_OR_RETURN(const Timeline timeline, MakeTimeline(*view, range));
  *response = ToMessage(timeline);
  return OkStatus();
}

Status Locate(SharedArchive& archive, const CallContext&, const v1::LocateRequest& request,
              v1::LocateResponse* response) {
  TM_ASSIGN_FROM_REQUEST(const Place place, FromMessage(request));
  TM_ASSIGN_OR_RETURN(const auto view, archive.TakeView(request.source()));
  Locator locator(*view);
  TM_ASSIGN_OR_RETURN(const Neighbourhood around, FindPlace(locator, place));
  *response = ToMessage(around);
  response->set_source(view->source());
  response->set_segment_path(
      ValidUtf8(view->archive().SegmentPath(view->source(), around.found.segment)));
  return OkStatus();
}

Status ResolveTarget(SharedArchive& archive, const CallContext&,
                     const v1::ResolveTargetRequest& request, v1::ResolveTargetResponse* response) {
  TM_ASSIGN_FROM_REQUEST(const Target target, FromMessage(request.target()));
  TM_ASSIGN_OR_RETURN(const auto view, archive.TakeView(request.source()));
  Locator locator(*view);
  TM_ASSIGN_OR_RETURN(const Boundary boundary, locator.Resolve(target));
  response->set_source(view->source());
  *response->mutable_boundary() = ToMessage(boundary);
  return OkStatus();
}

Status MakeThePlan(SharedArchive& archive, const CallContext&, const v1::PlanRequest& request,
                   v1::PlanResponse* response) {
  TM_ASSIGN_FROM_REQUEST(const Target target, FromMessage(request.target()));
  TM_ASSIGN_FROM_REQUEST(const GtidSet base, GtidSet::Parse(request.base_gtids()));
  TM_ASSIGN_FROM_REQUEST(const Surgery surgery, FromMessage(request.surgery()));
  TM_RETURN_IF_ERROR(CheckSurgery(surgery));
  TM_ASSIGN_OR_RETURN(const auto view, archive.TakeView(request.source()));
  Locator locator(*view);
  TM_ASSIGN_OR_RETURN(const Boundary boundary, locator.Resolve(target));
  TM_ASSIGN_OR_RETURN(const Plan plan, MakePlan(view->source(), target, base, boundary,
                                                view->ComputeCoverage(), view->segments(), surgery,
                                                ReadLineage(view->archive(), view->source())));
  if (request.check_pipe()) TM_RETURN_IF_ERROR(CheckPipeCarries(*view, plan));
  TM_ASSIGN_OR_RETURN(const std::string version, SourceVersion(*view, plan));
  TM_ASSIGN_OR_RETURN(const std::set<uint32_t> server_ids, ArchivedServerIds(*view, plan));
  *response->mutable_plan() = ToMessage(plan);
  response->set_source_version(ValidUtf8(version));
  for (const uint32_t id : server_ids) response->add_source_server_ids(id);
  return OkStatus();
}

// Source by source, a segment for each message.
class VerifyStream : public MessageStream {
 public:
  VerifyStream(SharedArchive& archive, CallContext context, std::vector<std::string> sources)
      : archive_(archive), context_(std::move(context)), sources_(std::move(sources)) {}

  Result<State> Next(Message* message) override {
    if (context_.cancelled()) return Cancelled();
    auto* response = static_cast<v1::VerifyResponse*>(message);
    response->Clear();
    if (!verification_) {
      if (next_ == sources_.size()) return State::kEnd;
      TM_RETURN_IF_ERROR(Begin(sources_[next_++]));
    }
    TM_ASSIGN_OR_RETURN(const bool more, verification_->Step());
    const VerifyReport& report = verification_->report();
    response->set_source(view_->source());
    if (!more) {
      *response->mutable_report() = ToMessage(report);
      verification_.reset();
      return State::kMessage;
    }
    v1::VerifyProgress* progress = response->mutable_progress();
    progress->set_segments(report.segments);
    progress->set_raw_bytes(report.raw_bytes);
    progress->set_raw_bytes_total(raw_bytes_total_);
    progress->set_findings(report.findings.size());
    return State::kMessage;
  }

 private:
  Status Begin(const std::string& source) {
    TM_ASSIGN_OR_RETURN(view_, archive_.OpenView(source));
    raw_bytes_total_ = 0;
    for (const SegmentRecord& segment : view_->segments()) raw_bytes_total_ += segment.raw_bytes;
    verification_.emplace(*view_);
    return OkStatus();
  }

  SharedArchive& archive_;
  const CallContext context_;
  const std::vector<std::string> sources_;
  size_t next_ = 0;
  std::unique_ptr<ArchiveView> view_;
  uint64_t raw_bytes_total_ = 0;
  std::optional<Verification> verification_;
};

// `handler` is one of the above.
template <typename Request, typename Response>
void Add(SharedArchive& archive, const google::protobuf::ServiceDescriptor* service,
         const char* method,
         Status (*handler)(SharedArchive&, const CallContext&, const Request&, Response*),
         ServiceRegistry* registry) {
  registry->AddUnary(
      service->FindMethodByName(method), Role::kReader, false,
      Unary<Request, Response>([&archive, handler](const CallContext& context,
                                                   const Request& request, Response* response) {
        return handler(archive, context, request, response);
      }));
}

}  // namespace

void AddArchiveService(SharedArchive& archive, ServiceRegistry* registry) {
  const auto* service =
      v1::GetStatusRequest::descriptor()->file()->FindServiceByName("ArchiveService");
  Add(archive, service, "GetStatus", GetStatus, registry);
  Add(archive, service, "ListSources", ListSources, registry);
  Add(archive, service, "ListSegments", ListSegments, registry);
  Add(archive, service, "GetTimeline", GetTimeline, registry);
  Add(archive, service, "Locate", Locate, registry);
  Add(archive, service, "ResolveTarget", ResolveTarget, registry);
  Add(archive, service, "Plan", MakeThePlan, registry);
  registry->AddStream(
      service->FindMethodByName("Verify"), Role::kReader, false,
      [&archive](const CallContext& context,
                 const Message& request) -> Result<std::unique_ptr<MessageStream>> {
        const std::string& source = static_cast<const v1::VerifyRequest&>(request).source();
        TM_ASSIGN_OR_RETURN(std::vector<std::string> names, archive.SourceNames(source));
        return std::unique_ptr<MessageStream>(
            std::make_unique<VerifyStream>(archive, context, std::move(names)));
      });
}

}  // namespace tidemark::rpc
