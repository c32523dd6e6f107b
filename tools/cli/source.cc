// pitr source pause, resume, seal: what a running daemon is told of one of its sources.
#include <fmt/format.h>

#include "proto/rpc/rpc_error.h"
#include "tools/cli/command.h"
#include "tools/cli/remote_methods.h"
#include "tools/rpc/convert.h"

namespace tidemark::cli {
namespace {

// Until a long transaction has ended, or a slow disk is done.
constexpr std::chrono::minutes kDeadline{5};

struct Options {
  std::string reason, by;
};

Result<Remote> Connect(const Context& context) {
  TM_ASSIGN_OR_RETURN(const rpc::RpcClientOptions options, context.Server());
  TM_ASSIGN_OR_RETURN(auto client, rpc::RpcClient::Create(options));
  return Remote{std::move(client), Interrupted};
}

Status Pause(const Context& context, const Options& options) {
  TM_RETURN_IF_ERROR(CheckOperatorNote({options.by, 0, options.reason}));
  TM_ASSIGN_OR_RETURN(Remote remote, Connect(context));
  v1::PauseSourceRequest request;
  request.set_source(context.source);
  request.set_reason(rpc::ValidUtf8(options.reason));
  request.set_by(rpc::ValidUtf8(options.by));
  v1::PauseSourceResponse answer;
  TM_RETURN_IF_ERROR(remote.Call(AdminMethod("PauseSource"), request, &answer, kDeadline));
  const OperatorNote paused = rpc::FromMessage(answer.paused());
  if (context.json) {
    PrintJson({{"source", answer.source()},
               {"paused", ToJson(paused)},
               {"was_paused", answer.was_paused()}});
    return OkStatus();
  }
  Say("source {} {} by {}, {}: {}\n", answer.source(),
      answer.was_paused() ? "was paused already," : "is paused", paused.by,
      FormatTime(paused.at_us), paused.reason);
  Say("it is not archived until: pitr source resume --source {}\n", answer.source());
  return OkStatus();
}

Status Resume(const Context& context) {
  TM_ASSIGN_OR_RETURN(Remote remote, Connect(context));
  v1::ResumeSourceRequest request;
  request.set_source(context.source);
  v1::ResumeSourceResponse answer;
  TM_RETURN_IF_ERROR(remote.Call(AdminMethod("ResumeSource"), request, &answer, kDeadline));
  if (context.json)
    PrintJson({{"source", answer.source()}, {"was_paused", answer.was_paused()}});
  else
    Say("source {} {}\n", answer.source(),
        answer.was_paused() ? "is archived again" : "was not paused: nothing has changed");
  return OkStatus();
}

Status Seal(const Context& context) {
  TM_ASSIGN_OR_RETURN(Remote remote, Connect(context));
  v1::SealSegmentRequest request;
  request.set_source(context.source);
  v1::SealSegmentResponse answer;
  TM_RETURN_IF_ERROR(remote.Call(AdminMethod("SealSegment"), request, &answer, kDeadline));
  if (context.json)
    PrintJson({{"source", answer.source()},
               {"segment", answer.segment()},
               {"was_sealed", answer.was_sealed()}});
  else if (answer.segment() == 0)
    Say("source {} has no segment yet\n", answer.source());
  else
    Say("segment {} of source {} {}\n", answer.segment(), answer.source(),
        answer.was_sealed() ? "was sealed already: nothing has come since" : "is sealed");
  return OkStatus();
}

}  // namespace

void AddSource(CLI::App& app, Context& context, Action* action) {
  auto options = std::make_shared<Options>();
  options->by = OperatorName();
  auto* command = app.add_subcommand("source", "tells a running daemon (--server) about a source");
  command->require_subcommand(1);
  auto* pause = command->add_subcommand(
      "pause", "end its archiving, until it is resumed, also over restarts of the daemon");
  pause->add_option("--reason", options->reason, "why, in one line")->type_name("TEXT")->required();
  pause->add_option("--by", options->by, "who wants it, if not the account you are in")
      ->type_name("NAME");
  pause->callback([&context, action, options] {
    *action = [&context, options] { return Pause(context, *options); };
  });
  auto* resume = command->add_subcommand("resume", "go on where the pause began");
  resume->callback([&context, action] { *action = [&context] { return Resume(context); }; });
  auto* seal = command->add_subcommand(
      "seal", "end the segment that is being written, so that its file can be copied away");
  seal->callback([&context, action] { *action = [&context] { return Seal(context); }; });
}

}  // namespace tidemark::cli
