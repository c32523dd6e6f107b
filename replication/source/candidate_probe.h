// Finds out what the choice among several servers (candidates.h) goes by: which addresses there
// are, and what each server says of itself. Asks all of them side by side, so that one that does
// not answer delays the others by no more than its timeouts. Nothing is changed on any of them. Any
// thread; starts one for each address, and is back when all are done.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "replication/source/candidates.h"
#include "replication/source/connection.h"

namespace tidemark {

inline constexpr size_t kCandidatesMax = 32;

struct HostPort {
  std::string host;
  uint16_t port = 3306;
  bool operator==(const HostPort&) const = default;

  std::string ToString() const;  // "db1:3306", "[::1]:3306"
  // Without a port: 3306. kUsage.
  static Result<HostPort> Parse(const std::string& text);
};

// The addresses that a name stands for, as numbers.
using Resolver = std::function<Result<std::vector<std::string>>(const std::string& name)>;
Result<std::vector<std::string>> ResolveName(const std::string& name);  // the system's

// Whether a host is looked up at all. Not where the name is what a certificate must be for, and not
// if it means this machine or is a number.
bool IsLookedUp(const std::string& host, TlsMode mode);

// How to reach each of them: `common` with another host, names that stand for several addresses
// once for each. What cannot be resolved stays a name: then its connection says so. At most
// kCandidatesMax.
std::vector<ConnectionOptions> ExpandHosts(const ConnectionOptions& common,
                                           const std::vector<HostPort>& hosts,
                                           const Resolver& resolve);

// Timeouts are the options'.
std::vector<Candidate> AskCandidates(const std::vector<ConnectionOptions>& servers);

}  // namespace tidemark
