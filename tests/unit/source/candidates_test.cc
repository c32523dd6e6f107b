// Each case is one moment of a topology as it is found, and who is to be archived then.
#include "replication/source/candidates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "replication/source/candidate_probe.h"
#include "tests/support/seed.h"

namespace tidemark {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string UuidText(char server) {
  return std::string(8, server) + "-0000-0000-0000-000000000000";
}
Uuid UuidOf(char server) { return *Uuid::Parse(UuidText(server)); }

// "a:1-5 b:1" with each letter a server's UUID.
GtidSet Set(const std::string& text) {
  std::string full;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    full += (full.empty() ? "" : ",") + UuidText(text[at]) + text.substr(at + 1, end - at - 1);
    at = end + 1;
  }
  return *GtidSet::Parse(full);
}

// Server `who`, reached as "db-WHO:3306".
Candidate Server(char who, bool writable, const std::string& executed, char upstream = 0) {
  Candidate candidate;
  candidate.name = std::string("db-") + who + ":3306";
  candidate.server_uuid = UuidOf(who);
  candidate.writable = writable;
  candidate.executed = Set(executed);
  if (upstream != 0)
    candidate.upstreams.push_back({std::string("db-") + upstream + ":3306", UuidOf(upstream)});
  return candidate;
}
Candidate Dead(char who) {
  Candidate candidate;
  candidate.name = std::string("db-") + who + ":3306";
  candidate.unreachable = Status(Code::kSourceUnavailable, "connection refused");
  return candidate;
}
Candidate Purged(Candidate candidate, const std::string& purged) {
  candidate.purged = Set(purged);
  return candidate;
}
Candidate Owning(Candidate candidate, const std::string& owned) {
  candidate.owned = Set(owned);
  return candidate;
}

constexpr bool kWritable = true, kReadOnly = false;

struct Case {
  const char* what;
  std::vector<Candidate> candidates;
  char current;  // 0: nothing was archived yet
  std::string archived;
  char chosen;  // 0: nobody yet; '!': split brain
};

std::vector<Case> Cases() {
  return {
      {"at first contact the primary is taken, wherever it stands",
       {Server('b', kReadOnly, "a:1-9", 'a'), Server('a', kWritable, "a:1-9")},
       0,
       "",
       'a'},
      {"a replica that was left writable is none",
       {Server('b', kWritable, "a:1-9", 'a'), Server('a', kWritable, "a:1-9")},
       0,
       "",
       'a'},
      {"at first contact only replicas answer",
       {Dead('a'), Server('b', kReadOnly, "a:1-9", 'a')},
       0,
       "",
       0},
      {"a writable replica of one that does not answer",
       {Dead('a'), Server('b', kWritable, "a:1-9", 'a')},
       'a',
       "a:1-5",
       0},
      {"the same at first contact, known by its address",
       {Dead('a'), Server('b', kWritable, "a:1-9", 'a')},
       0,
       "",
       0},
      {"a writable replica of the one archived last, which is not among the hosts any more",
       {Server('c', kReadOnly, "a:1-9"), Server('b', kWritable, "a:1-9", 'a')},
       'a',
       "a:1-5",
       0},
      {"the current one qualifies",
       {Server('b', kReadOnly, "a:1-9", 'a'), Server('a', kWritable, "a:1-9")},
       'a',
       "a:1-8",
       'a'},
      {"of two equal writable ones the current keeps its place",
       {Server('a', kWritable, "a:1-9"), Server('b', kWritable, "a:1-9")},
       'b',
       "a:1-9",
       'b'},
      {"of two writable ones the one that has all that the other has",
       {Server('a', kWritable, "a:1-9"), Server('b', kWritable, "a:1-9 b:1")},
       'a',
       "a:1-9",
       'b'},
      {"what is being committed on it counts as had",
       {Server('b', kWritable, "a:1-8"), Owning(Server('a', kWritable, "a:1-8"), "a:9")},
       'a',
       "a:1-9",
       'a'},
      {"the primary died and another took its place",
       {Dead('a'), Server('b', kWritable, "a:1-9 b:1"), Server('c', kReadOnly, "a:1-9", 'b')},
       'a',
       "a:1-9",
       'b'},
      {"it took its place without transactions that are archived: taken, for who connects to "
       "refuse",
       {Dead('a'), Server('b', kWritable, "a:1-7 b:1"), Server('c', kReadOnly, "a:1-7", 'b')},
       'a',
       "a:1-9",
       'b'},
      {"the primary died and nobody has taken its place",
       {Dead('a'), Server('b', kReadOnly, "a:1-9", 'a'), Server('c', kReadOnly, "a:1-7", 'a')},
       'a',
       "a:1-8",
       0},
      {"set read-only before a switch: it may still have transactions",
       {Server('a', kReadOnly, "a:1-9"), Server('b', kReadOnly, "a:1-8", 'a')},
       'a',
       "a:1-7",
       'a'},
      {"set read-only, but rewound",
       {Server('a', kReadOnly, "a:1-6"), Server('b', kReadOnly, "a:1-6", 'a')},
       'a',
       "a:1-7",
       0},
      {"the old one was rewound and has gone another way: there is nothing to have of it",
       {Server('a', kReadOnly, "a:1-6 c:1"), Server('b', kWritable, "a:1-7 b:1")},
       'a',
       "a:1-7",
       'b'},
      {"the switch is done",
       {Server('a', kReadOnly, "a:1-9", 'b'), Server('b', kWritable, "a:1-9 b:1")},
       'a',
       "a:1-7",
       'b'},
      {"the switch is done, and the new one still replicates from the old one",
       {Server('a', kReadOnly, "a:1-9", 'b'), Server('b', kWritable, "a:1-9 b:1", 'a')},
       'a',
       "a:1-7",
       'b'},
      {"the new one was promoted before it had all: what only the old one has is archived first",
       {Server('a', kReadOnly, "a:1-9"), Server('b', kWritable, "a:1-8 b:1")},
       'a',
       "a:1-7",
       'a'},
      {"then there is nothing more to have of the old one",
       {Server('a', kReadOnly, "a:1-9"), Server('b', kWritable, "a:1-8 b:1")},
       'a',
       "a:1-9",
       'b'},
      {"but it still fetches it",
       {Server('a', kReadOnly, "a:1-9"), Server('b', kWritable, "a:1-8 b:1", 'a')},
       'a',
       "a:1-9",
       'a'},
      {"the new one has purged what the old one still has for us",
       {Server('a', kReadOnly, "a:1-9"), Purged(Server('b', kWritable, "a:1-9 b:1"), "a:1-8")},
       'a',
       "a:1-7",
       'a'},
      {"the new one has purged only what is archived",
       {Server('a', kReadOnly, "a:1-9"), Purged(Server('b', kWritable, "a:1-9 b:1"), "a:1-7")},
       'a',
       "a:1-7",
       'b'},
      {"the old primary came back and was not fenced",
       {Server('a', kWritable, "a:1-10"), Server('b', kWritable, "a:1-9 b:1")},
       'b',
       "a:1-9",
       '!'},
      {"the same, as long as the old one is the current",
       {Server('a', kWritable, "a:1-10"), Server('b', kWritable, "a:1-9 b:1")},
       'a',
       "a:1-9",
       '!'},
      {"the old primary came back read-only, with transactions that nobody else has",
       {Server('a', kReadOnly, "a:1-10"), Server('b', kWritable, "a:1-9 b:1")},
       'b',
       "a:1-9",
       'b'},
      {"two that replicate from each other, one of them read-only",
       {Server('a', kWritable, "a:1-9", 'b'), Server('b', kReadOnly, "a:1-9", 'a')},
       0,
       "",
       'a'},
      {"one server by two addresses, and it is a replica",
       {Server('b', kReadOnly, "a:1-9", 'a'), Server('b', kReadOnly, "a:1-9", 'a')},
       0,
       "",
       'b'},
      {"the same, but one address does not answer: it may be another server",
       {Server('b', kReadOnly, "a:1-9", 'a'), Dead('a')},
       0,
       "",
       0},
      {"one server by two names",
       {Server('a', kWritable, "a:1-9"), Server('a', kWritable, "a:1-10")},
       'a',
       "a:1-9",
       'a'},
  };
}

char WhoIs(const Case& one, const Result<size_t>& choice) {
  if (choice.ok()) return one.candidates[*choice].name[3];
  return choice.error().code() == Code::kDivergence ? '!' : '\0';
}

ArchivedSoFar ArchivedOf(const Case& one) {
  ArchivedSoFar archived;
  archived.executed = Set(one.archived);
  if (one.current != 0) archived.server_uuid = UuidOf(one.current);
  return archived;
}

TEST(ChooseSourceTest, EveryCase) {
  for (const Case& one : Cases()) {
    const Result<size_t> choice = ChooseSource(one.candidates, ArchivedOf(one));
    EXPECT_EQ(WhoIs(one, choice), one.chosen)
        << one.what << (choice.ok() ? "" : "\n" + choice.error().message());
  }
}

TEST(ChooseSourceTest, OrderOfTheHostsDoesNotMatter) {
  for (Case& one : Cases()) {
    std::reverse(one.candidates.begin(), one.candidates.end());
    EXPECT_EQ(WhoIs(one, ChooseSource(one.candidates, ArchivedOf(one))), one.chosen) << one.what;
  }
}

TEST(ChooseSourceTest, SplitBrainNamesBothAndWhatOnlyOneHas) {
  const Result<size_t> choice = ChooseSource(
      {Server('a', kWritable, "a:1-12"), Server('b', kWritable, "a:1-9 b:1")}, {Set("a:1-9"), {}});
  ASSERT_FALSE(choice.ok());
  EXPECT_THAT(choice.error().message(),
              AllOf(HasSubstr("only db-a:3306 has 3 transactions: " + UuidText('a') + ":10-12"),
                    HasSubstr("only db-b:3306 has 1 transaction: " + UuidText('b') + ":1")));
}

TEST(ChooseSourceTest, WaitingSaysWhatEachLacks) {
  const Result<size_t> choice = ChooseSource(
      {Dead('a'), Server('b', kReadOnly, "a:1-7"), Server('c', kWritable, "a:1-9", 'a')},
      {Set("a:1-9"), UuidOf('a')});
  ASSERT_FALSE(choice.ok());
  EXPECT_EQ(choice.error().code(), Code::kSourceUnavailable);
  EXPECT_THAT(
      choice.error().message(),
      AllOf(HasSubstr("db-a:3306 does not answer (connection refused)"),
            HasSubstr("db-b:3306 is read-only and lacks 2 transactions: " + UuidText('a') + ":8-9"),
            HasSubstr("db-c:3306 replicates from db-a:3306")));
}

// A gap is nothing that we have: who lacks it lacks nothing of ours.
TEST(ChooseSourceTest, WhatIsAGapNeedNotBeThere) {
  const ArchivedSoFar with_gap{Set("a:1-9"), UuidOf('a'), Set("a:1-4")};
  // Set read-only before a planned switch.
  const Result<size_t> kept = ChooseSource(
      {Server('a', kReadOnly, "a:5-10"), Server('b', kReadOnly, "a:5-9", 'a')}, with_gap);
  ASSERT_TRUE(kept.ok()) << kept.error().message();
  EXPECT_EQ(*kept, 0u);
  // It still has one that the next primary lacks.
  const Result<size_t> needed = ChooseSource(
      {Server('a', kReadOnly, "a:5-10"), Server('b', kWritable, "a:5-9 b:1")}, with_gap);
  ASSERT_TRUE(needed.ok()) << needed.error().message();
  EXPECT_EQ(*needed, 0u);
  const Result<size_t> nobody =
      ChooseSource({Dead('a'), Server('b', kReadOnly, "a:5-8", 'a')}, with_gap);
  ASSERT_FALSE(nobody.ok());
  EXPECT_THAT(nobody.error().message(), HasSubstr("lacks 1 transaction: " + UuidText('a') + ":9"));
}

TEST(ChooseSourceTest, WhatAllRefuseIsNotWorthTryingSoon) {
  Candidate refuses = Dead('a'), other = Dead('b');
  refuses.unreachable = other.unreachable = Status(Code::kSourceRefused, "access denied");
  EXPECT_EQ(ChooseSource({refuses, other}, {}).error().code(), Code::kSourceRefused);
  EXPECT_EQ(ChooseSource({refuses, Dead('c')}, {}).error().code(), Code::kSourceUnavailable);
  EXPECT_EQ(ChooseSource({refuses, Server('c', kReadOnly, "a:1", 'a')}, {}).error().code(),
            Code::kSourceUnavailable);
}

// Whoever is chosen, while somebody writes: nothing that a writable one has is out of reach, and
// who is archived already is left only for one that has all that it still has for us.
TEST(ChooseSourceTest, WhatIsChosenLosesNothing) {
  std::mt19937_64 random(testing::TestSeed());
  for (int round = 0; round < 20'000; ++round) {
    std::vector<Candidate> candidates;
    for (char who : {'a', 'b', 'c'}) {
      if (random() % 5 == 0) {
        candidates.push_back(Dead(who));
        continue;
      }
      const auto upto = [&](char server) {
        return std::string(1, server) + ":1-" + std::to_string(1 + random() % 4);
      };
      const char upstream = random() % 2 == 0 ? "abc"[random() % 3] : '\0';
      candidates.push_back(Server(who, random() % 2 == 0, upto('a') + " " + upto('b'),
                                  upstream == who ? '\0' : upstream));
      if (random() % 4 == 0) candidates.back().purged = Set("a:1");
    }
    ArchivedSoFar archived{Set("a:1-" + std::to_string(1 + random() % 4)),
                           UuidOf("abc"[random() % 3])};
    const Result<size_t> choice = ChooseSource(candidates, archived);
    const Candidate* current = nullptr;
    for (const Candidate& one : candidates)
      if (one.answers() && one.server_uuid == archived.server_uuid) current = &one;
    if (!choice.ok()) continue;
    const Candidate& chosen = candidates[*choice];
    ASSERT_TRUE(chosen.answers());
    if (&chosen == current || current == nullptr) continue;
    ASSERT_TRUE(chosen.writable);
    if (!current->Lacks(archived.executed).empty()) continue;
    const GtidSet more = current->executed.Minus(archived.executed);
    ASSERT_TRUE(chosen.Lacks(more).empty()) << more.ToString();
    ASSERT_FALSE(more.Intersects(chosen.purged)) << more.ToString();
  }
}

TEST(HostPortTest, ReadsNamesAndAddresses) {
  const auto read = [](const std::string& text) {
    const Result<HostPort> parsed = HostPort::Parse(text);
    return parsed.ok() ? parsed->ToString() : std::string("refused");
  };
  EXPECT_EQ(read("db1"), "db1:3306");
  EXPECT_EQ(read("db1:3307"), "db1:3307");
  EXPECT_EQ(read("127.0.0.2:1"), "127.0.0.2:1");
  EXPECT_EQ(read("::1"), "[::1]:3306");
  EXPECT_EQ(read("[::1]:65535"), "[::1]:65535");
  for (const char* bad : {"", ":3306", "db1:", "db1:0", "db1:65536", "db1:33x", "[::1", "[::1]x",
                          "[]:3306", "[::1]3306"})
    EXPECT_EQ(read(bad), "refused") << bad;
}

std::vector<std::string> Names(const std::vector<ConnectionOptions>& servers) {
  std::vector<std::string> names;
  for (const ConnectionOptions& server : servers) names.push_back(server.Server());
  return names;
}

TEST(ExpandHostsTest, ANameOfSeveralAddressesIsSeveralServers) {
  const Resolver resolve = [](const std::string& name) -> Result<std::vector<std::string>> {
    if (name == "db.example") return std::vector<std::string>{"10.0.0.1", "10.0.0.2", "fd00::1"};
    if (name == "one.example") return std::vector<std::string>{"10.0.0.2"};
    return Status(Code::kSourceUnavailable, "no such name");
  };
  const std::vector<HostPort> hosts = {
      {"db.example", 3306}, {"one.example", 3306}, {"gone.example", 3306}, {"10.0.0.1", 3306}};
  ConnectionOptions common;
  common.user = "tidemark";
  common.socket = "/of/another";
  const std::vector<ConnectionOptions> servers = ExpandHosts(common, hosts, resolve);
  EXPECT_THAT(Names(servers),
              ::testing::ElementsAre("10.0.0.1:3306", "10.0.0.2:3306", "[fd00::1]:3306",
                                     "one.example:3306", "gone.example:3306"));
  for (const ConnectionOptions& server : servers) EXPECT_EQ(server.user, "tidemark");
  common.tls.mode = TlsMode::kVerifyIdentity;
  EXPECT_THAT(Names(ExpandHosts(common, {{"db.example", 3306}}, resolve)),
              ::testing::ElementsAre("db.example:3306"))
      << "its certificate is for the name";
}

TEST(ExpandHostsTest, NoMoreThanTheMost) {
  std::vector<std::string> many;
  for (int i = 0; i < 100; ++i) many.push_back("10.0.0." + std::to_string(i));
  EXPECT_EQ(
      ExpandHosts({}, {{"db.example", 3306}}, [&](const std::string&) { return many; }).size(),
      kCandidatesMax);
}

TEST(ExpandHostsTest, ThisMachineIsNotLookedUp) {
  const Resolver resolve = [](const std::string& name) -> Result<std::vector<std::string>> {
    ADD_FAILURE() << name << " was looked up";
    return std::vector<std::string>{};
  };
  for (const char* host : {"localhost", "127.0.0.1", "10.1.2.3", "fd00::1"})
    EXPECT_EQ(ExpandHosts({}, {{host, 3306}}, resolve).size(), 1u);
}

}  // namespace
}  // namespace tidemark
