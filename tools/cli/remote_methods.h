// Calls of tidemark.v1 by name. Internal to tools/cli's remote_*.
#pragma once

#include <set>
#include <string>

#include "pitr/archive_view.h"
#include "proto/rpc/rpc_client.h"
#include "tidemark/v1/admin_service.pb.h"
#include "tidemark/v1/archive_service.pb.h"
#include "tidemark/v1/stream_service.pb.h"
#include "tools/cli/resumable_stream.h"

namespace tidemark::cli {

// Long transactions are read through for some answers, at a second for each GiB.
inline constexpr std::chrono::minutes kReadingDeadline{30};

inline const rpc::MethodDescriptor* ArchiveMethod(const char* name) {
  return v1::GetStatusRequest::descriptor()
      ->file()
      ->FindServiceByName("ArchiveService")
      ->FindMethodByName(name);
}

inline const rpc::MethodDescriptor* StreamMethod(const char* name) {
  return v1::StreamEventsRequest::descriptor()
      ->file()
      ->FindServiceByName("StreamService")
      ->FindMethodByName(name);
}

inline const rpc::MethodDescriptor* AdminMethod(const char* name) {
  return v1::PauseSourceRequest::descriptor()
      ->file()
      ->FindServiceByName("AdminService")
      ->FindMethodByName(name);
}

// A client, and who may interrupt what it waits for.
struct Remote {
  std::unique_ptr<rpc::RpcClient> client;
  Interruption interrupted;

  template <typename Response>
  Result<Response> Ask(const char* method, const rpc::Message& request,
                       std::chrono::milliseconds deadline = {}) {
    Response response;
    TM_RETURN_IF_ERROR(Call(ArchiveMethod(method), request, &response, deadline));
    return response;
  }
  Status Call(const rpc::MethodDescriptor* method, const rpc::Message& request,
              rpc::Message* response, std::chrono::milliseconds deadline = {}) {
    rpc::CallOptions options;
    options.deadline = deadline;
    options.interrupted = interrupted;
    return client->Call(method, request, response, options);
  }
};

Result<Coverage> AskCoverage(Remote& remote, const std::string& source);
Result<std::set<Uuid>> AskServerUuids(Remote& remote, const std::string& source);

}  // namespace tidemark::cli
