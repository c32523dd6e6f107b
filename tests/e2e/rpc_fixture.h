// tidemarkd with an [rpc] table, and those who call it: curl, and our own client.
#pragma once

#include <sstream>

#include "proto/rpc/rpc_client.h"
#include "tests/e2e/serve_fixture.h"
#include "tidemark/v1/archive_service.pb.h"
#include "tidemark/v1/stream_service.pb.h"

namespace tidemark::testing {

inline const auto* ArchiveMethod(const std::string& name) {
  return v1::GetStatusRequest::descriptor()
      ->file()
      ->FindServiceByName("ArchiveService")
      ->FindMethodByName(name);
}

inline const auto* StreamEventsMethod() {
  return v1::StreamEventsRequest::descriptor()
      ->file()
      ->FindServiceByName("StreamService")
      ->FindMethodByName("StreamEvents");
}

inline bool HaveCurl() {
  static const bool have = [] {
    const auto ran = RunProgram({"curl", "--version"});
    return ran.ok() && ran->exit_code == 0;
  }();
  return have;
}

#define NEEDS_CURL()                                    \
  if (!::tidemark::testing::HaveCurl())                 \
  GTEST_SKIP() << "curl is not installed: nothing was " \
                  "tested"

struct Curled {
  int http = 0;
  std::string body;
  nlohmann::json object;  // of the body, if it is JSON
};

inline Curled Curl(std::vector<std::string> arguments) {
  std::vector<std::string> argv = {"curl", "-sS", "-m", "30", "-w", "\n%{http_code}"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  const auto ran = RunProgram(argv);
  if (!ran.ok() || ran->exit_code != 0) return {0, ran.ok() ? ran->err : "", nlohmann::json()};
  const size_t line = ran->out.rfind('\n');
  const std::string body = ran->out.substr(0, line);
  return {std::stoi(ran->out.substr(line + 1)), body, nlohmann::json::parse(body, nullptr, false)};
}

// tidemarkd with an [rpc] table: a TCP address on loopback and a unix socket.
class RpcDaemon : public Daemon {
 public:
  using Daemon::Daemon;
  // `settings`: of [rpc], behind listen.
  void Rpc(const std::string& settings, const std::string& more_addresses = {}) {
    Configure("[rpc]\nlisten = [\"127.0.0.1:" + std::to_string(port_) + "\", \"unix:" + socket() +
              "\"" + more_addresses + "]\n" + settings + "\n");
  }
  // Replaces what Rpc said in the file.
  void RewriteRpc(const std::string& from, const std::string& to) {
    std::string text = ReadWholeFile(path_);
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << text;
    text.replace(at, from.size(), to);
    std::ofstream(path_) << text;
  }
  void Begin(MySqlServer& primary) {
    AddSource("main", primary);
    Start();
    path_ = WriteConfig();
    ASSERT_TRUE(WaitFor(ExecutedOn(primary))) << LogTail();
    ASSERT_TRUE(WaitForLog("serving RPC at unix:")) << LogTail();
  }
  bool WaitForLog(const std::string& text, size_t times = 1) {
    return process().WaitUntil([&] { return TimesInLog(text) >= times; });
  }
  void Reload(const std::string& outcome = "RPC: certificates and the access file read again") {
    const size_t before = TimesInLog(outcome);
    process().Kill(SIGHUP);
    EXPECT_TRUE(WaitForLog(outcome, before + 1)) << outcome << "\n" << LogTail();
  }

  Curled Call(const std::string& method, const std::string& request,
              std::vector<std::string> arguments = {}) const {
    arguments.insert(arguments.end(),
                     {"-H", "Content-Type: application/json", "-d", request,
                      "http://127.0.0.1:" + std::to_string(port_) + "/tidemark.v1." + method});
    return Curl(std::move(arguments));
  }
  Curled CallByToken(const std::string& token) const {
    return Call("ArchiveService/ListSources", "{}", {"-H", "Authorization: Bearer " + token});
  }
  Curled Page(const std::string& path) const {
    return Curl({"http://127.0.0.1:" + std::to_string(port_) + path});
  }
  // A new token as an operator makes it; `line` is for the access file.
  static std::string NewToken(const std::string& name, const std::string& role,
                              std::string* lines) {
    const auto ran = RunProgram({Binary("tidemarkd"), "--new-token", name, role});
    EXPECT_TRUE(ran.ok() && ran->exit_code == 0);
    const size_t at = ran->err.find(name + " " + role + " sha256:");
    EXPECT_NE(at, std::string::npos) << ran->err;
    *lines += ran->err.substr(at, ran->err.find('\n', at) + 1 - at);
    return ran->out.substr(0, ran->out.find('\n'));
  }

  int port() const { return port_; }
  const std::string& path() const { return path_; }
  std::string socket() const { return files_.Path("t.sock"); }
  std::string File(const std::string& name) const { return files_.Path(name); }
  std::string Write(const std::string& name, const std::string& text) const {
    std::ofstream(files_.Path(name)) << text;
    return files_.Path(name);
  }
  std::vector<nlohmann::json> AuditLines(const std::string& name = "audit.log") const {
    std::vector<nlohmann::json> lines;
    std::istringstream text(ReadWholeFile(files_.Path(name)));
    for (std::string line; std::getline(text, line);)
      lines.push_back(nlohmann::json::parse(line, nullptr, false));
    return lines;
  }

 private:
  const TempDir files_{"tidemark-rpc"};
  const int port_ = FreePort();
  std::string path_;
};

inline Result<std::string> ArchivePathBy(const rpc::RpcClientOptions& options) {
  TM_ASSIGN_OR_RETURN(auto client, rpc::RpcClient::Create(options));
  v1::ListSourcesResponse response;
  TM_RETURN_IF_ERROR(
      client->Call(ArchiveMethod("ListSources"), v1::ListSourcesRequest(), &response));
  return response.archive();
}

inline rpc::RpcClientOptions ClientOf(const std::string& endpoint) {
  rpc::RpcClientOptions options;
  options.endpoint = endpoint;
  options.retry.attempts_max = 1;
  return options;
}

// Everything of main, for ever.
inline std::unique_ptr<rpc::ClientStream> Follow(const rpc::RpcClientOptions& options) {
  auto client = rpc::RpcClient::Create(options);
  EXPECT_TRUE(client.ok()) << client.error().message();
  v1::StreamEventsRequest request;
  request.mutable_range()->set_source("main");
  request.mutable_range()->set_follow(true);
  request.mutable_range()->set_allow_missing(true);
  rpc::CallOptions call;
  call.deadline = std::chrono::milliseconds(kPatienceMs);
  auto stream = (*client)->OpenStream(StreamEventsMethod(), request, call);
  EXPECT_TRUE(stream.ok()) << stream.error().message();
  return stream.ok() ? std::move(*stream) : nullptr;
}

// Until it has given all of `set`; or its error.
inline Status ReadUntil(rpc::ClientStream& stream, const GtidSet& set, GtidSet* seen) {
  while (!set.Minus(*seen).empty()) {
    v1::StreamEventsResponse message;
    TM_ASSIGN_OR_RETURN(const bool more, stream.Next(&message));
    if (!more) return Status(Code::kTruncated, "the stream has ended");
    TM_ASSIGN_OR_RETURN(const GtidSet gtids, GtidSet::Parse(message.gtids()));
    seen->Add(gtids);
  }
  return OkStatus();
}

inline Status ErrorOf(rpc::ClientStream& stream) {
  v1::StreamEventsResponse message;
  for (;;) {
    const Result<bool> more = stream.Next(&message);
    if (!more.ok()) return more.error();
    if (!*more) return OkStatus();
  }
}

}  // namespace tidemark::testing
