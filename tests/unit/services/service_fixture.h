// Services over a made-up archive, called through the registry as the transport calls them: by
// path, with messages that have been bytes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/unit/pitr/history.h"
#include "tools/rpc/archive_service.h"
#include "tools/rpc/stream_service.h"

namespace tidemark::rpc::testing {

using tidemark::testing::BuilderGtid;
using tidemark::testing::BuilderSet;
using tidemark::testing::History;
using tidemark::testing::KnownTransaction;

// As it comes out at the other end of a connection.
template <typename M>
M Sent(const M& message) {
  M received;
  EXPECT_TRUE(received.ParseFromString(message.SerializeAsString()));
  return received;
}

class Services {
 public:
  explicit Services(History& history)
      : archive(PosixFileSystem(), history.dir.path(), history.builder.index()) {
    AddArchiveService(archive, &registry);
    AddStreamService(archive, &registry);
  }

  template <typename Response, typename Request>
  Result<Response> Call(const std::string& method, const Request& request) {
    const ServiceRegistry::Method* found = registry.Find("tidemark.v1.ArchiveService/" + method);
    EXPECT_NE(found, nullptr) << method;
    Response response;
    Status status = found->unary(context, Sent(request), &response);
    if (!status.ok()) return status;
    return Sent(response);
  }

  template <typename Request>
  Result<std::unique_ptr<MessageStream>> Open(const std::string& path, const Request& request) {
    const ServiceRegistry::Method* found = registry.Find("tidemark.v1." + path);
    EXPECT_NE(found, nullptr) << path;
    return found->stream(context, Sent(request));
  }

  SharedArchive archive;
  ServiceRegistry registry;
  CallContext context;
};

// Everything up to the first answer that is neither a message nor "nothing yet".
template <typename Response>
struct Drained {
  std::vector<Response> messages;
  Result<MessageStream::State> ended = MessageStream::State::kEnd;
};

template <typename Response>
Drained<Response> Drain(MessageStream& stream, size_t messages_max = SIZE_MAX) {
  Drained<Response> drained;
  while (drained.messages.size() < messages_max) {
    Response response;
    drained.ended = stream.Next(&response);
    if (!drained.ended.ok()) break;
    if (*drained.ended == MessageStream::State::kMessage)
      drained.messages.push_back(Sent(response));
    else if (*drained.ended != MessageStream::State::kNothingYet)
      break;
  }
  return drained;
}

// Two files, three segments, a DROP, a transaction longer than a frame.
inline void BuildSome(History* history) {
  history->BeginFile("binlog.000001");
  history->AddMany(150, {.row_bytes = 9000});
  history->Add({.ddl = "DROP TABLE orders"});
  history->builder.Continue();
  history->Add({.rows = 4, .row_bytes = 700'000});
  history->AddMany(20);
  history->BeginFile("binlog.000002");
  history->AddMany(60, {.row_bytes = 9000});

  history->builder.Publish();
}

}  // namespace tidemark::rpc::testing
