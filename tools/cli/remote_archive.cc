#include "tools/cli/remote_archive.h"

#include "tools/cli/remote_source.h"
#include "tools/rpc/convert.h"

namespace tidemark::cli {

Result<std::unique_ptr<ArchiveAccess>> RemoteArchive::Create(const rpc::RpcClientOptions& options,
                                                             const std::string& source,
                                                             Interruption interrupted) {
  TM_ASSIGN_OR_RETURN(auto client, rpc::RpcClient::Create(options));
  return std::unique_ptr<ArchiveAccess>(
      new RemoteArchive(options, source, {std::move(client), std::move(interrupted)}));
}

Result<std::vector<SourceState>> RemoteArchive::ReadStatus() {
  v1::GetStatusRequest request;
  request.set_source(source_);
  TM_ASSIGN_OR_RETURN(const auto answer, remote_.Ask<v1::GetStatusResponse>("GetStatus", request));
  std::vector<SourceState> states;
  for (const v1::SourceStatus& source : answer.sources()) {
    TM_ASSIGN_OR_RETURN(rpc::SourceStatus status, rpc::FromMessage(source));
    states.push_back({std::move(status.summary), std::move(status.live)});
  }
  return states;
}

Result<std::vector<std::string>> RemoteArchive::SourceNames() {
  if (!source_.empty()) return std::vector<std::string>{source_};
  TM_ASSIGN_OR_RETURN(const auto answer, remote_.Ask<v1::ListSourcesResponse>(
                                             "ListSources", v1::ListSourcesRequest()));
  std::vector<std::string> names;
  for (const v1::Source& source : answer.sources()) names.push_back(source.name());
  return names;
}

Result<VerifyReport> RemoteArchive::Verify(const std::string& source, const OnVerified& progress) {
  v1::VerifyRequest request;
  request.set_source(source);
  rpc::CallOptions options;
  options.silence_max = kSilenceMax;
  options.interrupted = remote_.interrupted;
  TM_ASSIGN_OR_RETURN(const auto stream,
                      remote_.client->OpenStream(ArchiveMethod("Verify"), request, options));
  for (v1::VerifyResponse answer;;) {
    TM_ASSIGN_OR_RETURN(const bool more, stream->Next(&answer));
    if (!more) return Status(Code::kCorruption, name() + " ended verifying without a report");
    if (answer.has_report()) return rpc::FromMessage(answer.report());
    if (!progress(answer.progress().raw_bytes(), answer.progress().raw_bytes_total()))
      return Status(Code::kInterrupted, "interrupted while verifying");
  }
}

Result<std::unique_ptr<SourceAccess>> RemoteArchive::OpenSource() {
  return OpenRemoteSource(options_, source_, remote_);
}

}  // namespace tidemark::cli
