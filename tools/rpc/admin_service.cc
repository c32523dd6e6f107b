#include "tools/rpc/admin_service.h"

#include <utility>

#include "pitr/acknowledge.h"
#include "proto/rpc/rpc_error.h"
#include "replication/base/clock.h"
#include "tidemark/v1/admin_service.pb.h"
#include "tools/rpc/convert.h"

namespace tidemark::rpc {
namespace {

struct Daemon {
  SharedArchive& archive;
  DaemonControls& controls;
};

// `by` is what a caller says of himself; who he is, he cannot choose.
OperatorNote NoteOf(const CallContext& context, const std::string& by, const std::string& reason) {
  const std::string who = by.empty() ? context.identity : by + " (" + context.identity + ")";
  return {who, SystemClock().WallMicroseconds(), reason};
}

// The one that is named, or the only one.
Result<std::string> SourceOf(const Daemon& daemon, const std::string& source) {
  TM_ASSIGN_OR_RETURN(const auto view, daemon.archive.TakeView(source));
  return view->source();
}

Status PauseSource(Daemon& daemon, const CallContext& context,
                   const v1::PauseSourceRequest& request, v1::PauseSourceResponse* response) {
  const OperatorNote note = NoteOf(context, request.by(), request.reason());
  TM_RETURN_IF_ERROR(CheckOperatorNote(note));
  TM_ASSIGN_OR_RETURN(const std::string source, SourceOf(daemon, request.source()));
  TM_ASSIGN_OR_RETURN(const DaemonControls::Paused paused,
                      daemon.controls.Pause(source, note, context.cancelled));
  response->set_source(source);
  *response->mutable_paused() = ToMessage(paused.note);
  response->set_was_paused(paused.was_paused);
  return OkStatus();
}

Status ResumeSource(Daemon& daemon, const CallContext& context,
                    const v1::ResumeSourceRequest& request, v1::ResumeSourceResponse* response) {
  TM_ASSIGN_OR_RETURN(const std::string source, SourceOf(daemon, request.source()));
  TM_ASSIGN_OR_RETURN(const bool was_paused, daemon.controls.Resume(source, context.cancelled));
  response->set_source(source);
  response->set_was_paused(was_paused);
  return OkStatus();
}

Status SealSegment(Daemon& daemon, const CallContext& context,
                   const v1::SealSegmentRequest& request, v1::SealSegmentResponse* response) {
  TM_ASSIGN_OR_RETURN(const std::string source, SourceOf(daemon, request.source()));
  TM_ASSIGN_OR_RETURN(const SealAnswer sealed, daemon.controls.Seal(source, context.cancelled));
  response->set_source(source);
  response->set_segment(sealed.segment);
  response->set_was_sealed(sealed.was_sealed);
  return OkStatus();
}

Status AcknowledgeGap(Daemon& daemon, const CallContext& context,
                      const v1::AcknowledgeGapRequest& request,
                      v1::AcknowledgeGapResponse* response) {
  Result<GtidSet> gtids = GtidSet::Parse(request.gtids());
  if (!gtids.ok()) return AsUsage(gtids.error());
  TM_ASSIGN_OR_RETURN(const auto view, daemon.archive.TakeView(request.source()));
  TM_ASSIGN_OR_RETURN(
      const Acknowledged acknowledged,
      AcknowledgeGaps(*view, {*gtids, NoteOf(context, request.by(), request.reason())}));
  response->set_source(view->source());
  response->set_added(acknowledged.added.ToString());
  *response->mutable_coverage() = ToMessage(acknowledged.coverage);
  return OkStatus();
}

class RebuildStream : public MessageStream {
 public:
  RebuildStream(CallContext context, std::unique_ptr<IndexRebuilding> rebuilding)
      : context_(std::move(context)), rebuilding_(std::move(rebuilding)) {}

  Result<State> Next(Message* message) override {
    if (said_.done) return State::kEnd;
    if (context_.cancelled()) return Status(Code::kInterrupted, "the call was cancelled");
    TM_ASSIGN_OR_RETURN(const IndexRebuilding::Progress progress, rebuilding_->Look());
    if (progress == said_) return State::kNothingYet;
    said_ = progress;
    auto* response = static_cast<v1::RebuildIndexResponse*>(message);
    response->Clear();
    response->set_segments(progress.segments);
    response->set_raw_bytes(progress.raw_bytes);
    response->set_done(progress.done);
    return State::kMessage;
  }

 private:
  const CallContext context_;
  const std::unique_ptr<IndexRebuilding> rebuilding_;
  IndexRebuilding::Progress said_;
};

}  // namespace

void AddAdminService(SharedArchive& archive, DaemonControls& controls, ServiceRegistry* registry) {
  const auto* service =
      v1::PauseSourceRequest::descriptor()->file()->FindServiceByName("AdminService");
  const auto daemon = std::make_shared<Daemon>(Daemon{archive, controls});
  const auto add = [&]<typename Request, typename Response>(
                       const char* method,
                       Status (*handler)(Daemon&, const CallContext&, const Request&, Response*)) {
    registry->AddUnary(
        service->FindMethodByName(method), Role::kAdmin, true,
        Unary<Request, Response>([daemon, handler](const CallContext& context,
                                                   const Request& request, Response* response) {
          return handler(*daemon, context, request, response);
        }));
  };
  add("PauseSource", PauseSource);
  add("ResumeSource", ResumeSource);
  add("SealSegment", SealSegment);
  add("AcknowledgeGap", AcknowledgeGap);
  registry->AddStream(service->FindMethodByName("RebuildIndex"), Role::kAdmin, true,
                      [daemon](const CallContext& context,
                               const Message&) -> Result<std::unique_ptr<MessageStream>> {
                        TM_ASSIGN_OR_RETURN(auto rebuilding, daemon->controls.RebuildIndex());
                        return std::unique_ptr<MessageStream>(
                            std::make_unique<RebuildStream>(context, std::move(rebuilding)));
                      });
}

}  // namespace tidemark::rpc
