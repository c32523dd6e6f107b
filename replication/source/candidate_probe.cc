#include "replication/source/candidate_probe.h"

#include <arpa/inet.h>
#include <netdb.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <thread>

#include "replication/base/loopback.h"
#include "replication/source/source_facts.h"

namespace tidemark {
namespace {

constexpr uint32_t kFirstWithReplicaStatus = 80022;

bool IsNumber(const std::string& host) {
  in6_addr address{};
  return inet_pton(AF_INET, host.c_str(), &address) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

Status BadHost(const std::string& text) {
  return Status(Code::kUsage, "'" + text + "' is no host", "HOST, HOST:PORT or [ADDRESS]:PORT");
}

Status AskUpstreams(Connection& connection, Candidate* candidate) {
  const bool new_words = connection.VersionNumber() >= kFirstWithReplicaStatus;
  const Result<QueryResult> answer =
      connection.Query(new_words ? "SHOW REPLICA STATUS" : "SHOW SLAVE STATUS");
  // Without the privilege it is not known.
  if (!answer.ok())
    return answer.error().code() == Code::kSourceRefused ? OkStatus() : answer.error();
  const QueryResult& channels = *answer;
  for (const QueryResult::Row& row : channels.rows) {
    const auto text = [&](const char* replica, const char* slave) {
      return channels.Text(row, new_words ? replica : slave);
    };
    const std::string running = text("Replica_IO_Running", "Slave_IO_Running");
    if (running.empty() || running == "No") continue;  // "Yes", "Connecting"
    HostPort from{text("Source_Host", "Master_Host"), 0};
    const std::string port = text("Source_Port", "Master_Port");
    std::from_chars(port.data(), port.data() + port.size(), from.port);
    Candidate::Upstream& upstream = candidate->upstreams.emplace_back();
    upstream.server = from.ToString();
    if (Result<Uuid> uuid = Uuid::Parse(text("Source_UUID", "Master_UUID")); uuid.ok())
      upstream.server_uuid = *uuid;
  }
  return OkStatus();
}

Status Ask(const ConnectionOptions& options, Candidate* candidate) {
  TM_ASSIGN_OR_RETURN(const auto connection, Connection::Open(options));
  // Upstreams first: what it got from there until it is asked for its set is in the set.
  TM_RETURN_IF_ERROR(AskUpstreams(*connection, candidate));
  TM_ASSIGN_OR_RETURN(
      const QueryResult answer,
      connection->Query("SELECT @@GLOBAL.read_only OR @@GLOBAL.super_read_only AS read_only"));
  if (answer.rows.size() != 1)
    return Status(Code::kSourceRefused, candidate->name + " did not say whether it is read-only");
  candidate->writable = answer.Text(answer.rows[0], "read_only") == "0";
  TM_ASSIGN_OR_RETURN(SourceFacts facts, GatherFacts(*connection));
  candidate->server_uuid = facts.server_uuid;
  candidate->executed = std::move(facts.gtid_executed);
  candidate->owned = std::move(facts.gtid_owned);
  candidate->purged = std::move(facts.gtid_purged);
  return OkStatus();
}

}  // namespace

std::string HostPort::ToString() const {
  const bool bare_v6 = host.find(':') != std::string::npos;
  return (bare_v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<HostPort> HostPort::Parse(const std::string& text) {
  HostPort parsed;
  size_t end = 0;
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    if (close == std::string::npos) return BadHost(text);
    parsed.host = text.substr(1, close - 1);
    end = close + 1;
  } else {
    const size_t colon = text.find(':');
    const bool bare_v6 =
        colon != std::string::npos && text.find(':', colon + 1) != std::string::npos;
    end = bare_v6 ? text.size() : std::min(colon, text.size());
    parsed.host = text.substr(0, end);
  }
  if (parsed.host.empty()) return BadHost(text);
  if (end == text.size()) return parsed;
  const char* const last = text.data() + text.size();
  const char* const first = text.data() + end + 1;
  const auto [used, error] = std::from_chars(std::min(first, last), last, parsed.port);
  if (text[end] != ':' || error != std::errc() || used != last || parsed.port == 0)
    return BadHost(text);
  return parsed;
}

Result<std::vector<std::string>> ResolveName(const std::string& name) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(name.c_str(), nullptr, &hints, &found); error != 0)
    return Status(Code::kSourceUnavailable,
                  "cannot find the address of " + name + ": " + gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(found, freeaddrinfo);
  std::vector<std::string> addresses;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    char text[NI_MAXHOST];
    if (getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof(text), nullptr, 0,
                    NI_NUMERICHOST) == 0)
      addresses.emplace_back(text);
  }
  std::sort(addresses.begin(), addresses.end());
  addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
  return addresses;
}

bool IsLookedUp(const std::string& host, TlsMode mode) {
  return mode != TlsMode::kVerifyIdentity && !IsLoopback(host) && !IsNumber(host);
}

std::vector<ConnectionOptions> ExpandHosts(const ConnectionOptions& common,
                                           const std::vector<HostPort>& hosts,
                                           const Resolver& resolve) {
  std::vector<ConnectionOptions> servers;
  const auto add = [&](const std::string& host, uint16_t port) {
    const auto same = [&](const ConnectionOptions& other) {
      return other.host == host && other.port == port;
    };
    if (servers.size() == kCandidatesMax || std::any_of(servers.begin(), servers.end(), same))
      return;
    ConnectionOptions& server = servers.emplace_back(common);
    server.socket.clear();
    server.host = host;
    server.port = port;
  };
  for (const HostPort& one : hosts) {
    std::vector<std::string> addresses;
    if (IsLookedUp(one.host, common.tls.mode))
      if (Result<std::vector<std::string>> found = resolve(one.host); found.ok())
        addresses = std::move(*found);
    // A name with one address keeps its name: it says more in messages.
    if (addresses.size() < 2) addresses = {one.host};
    for (const std::string& address : addresses) add(address, one.port);
  }
  return servers;
}

std::vector<Candidate> AskCandidates(const std::vector<ConnectionOptions>& servers) {
  std::vector<Candidate> candidates(servers.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < servers.size(); ++i)
    threads.emplace_back([&server = servers[i], &candidate = candidates[i]] {
      candidate.name = HostPort{server.host, server.port}.ToString();
      candidate.unreachable = Ask(server, &candidate);
    });
  for (std::thread& thread : threads) thread.join();
  return candidates;
}

}  // namespace tidemark
