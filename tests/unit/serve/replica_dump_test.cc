// Dumps over the network, taken by libmysqlclient as the daemon's own source does it.
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include "replication/event/binlog_format.h"
#include "tests/unit/serve/serve_fixture.h"

namespace tidemark::testing {
namespace {

using std::chrono::milliseconds;

// kPassword, as `openssl passwd -6` keeps it: only full authentication can check it, by RSA without
// TLS.
constexpr char kHash[] =
    "$6$tidemark$fvpzUo4vDDgpazeweXVuYo4W.ArzwIgvMw1YW7OJuSLOJGnB"
    "Bjc7.T4uX0SNY0JY/YzTT0bc/19xzaGHofVG81";

constexpr uint32_t kReplicaServerId = 77;  // not that of the archived events

// What the server answers to `SELECT expression`.
std::string Ask(const tidemark::ConnectionOptions& options, const std::string& expression) {
  Result<std::unique_ptr<tidemark::Connection>> connection = tidemark::Connection::Open(options);
  EXPECT_TRUE(connection.ok()) << connection.error().message();
  if (!connection.ok()) return {};
  EXPECT_EQ((*connection)->TlsCipher().empty(), options.tls.mode == TlsMode::kDisabled);
  Result<QueryResult> answer = (*connection)->Query("SELECT " + expression + " AS answer");
  EXPECT_TRUE(answer.ok()) << answer.error().message();
  return answer.ok() && answer->rows.size() == 1 ? answer->Text(answer->rows[0], "answer") : "";
}

// A replica of the served source.
struct Replica {
  explicit Replica(ServedHistory& served, TlsMode tls = TlsMode::kDisabled)
      : Replica(served.ClientOptions(tls)) {}
  explicit Replica(const tidemark::ConnectionOptions& options) : source(options) {
    request.server_id = kReplicaServerId;
    request.our_uuid = kReplicaUuid;
    request.heartbeat_us = 5'000'000;
    // It also asks for SHOW BINARY LOGS, which we have none of. The connection is there after that.
    const Result<SourceFacts> connected = source.Connect();
    EXPECT_TRUE(connected.ok() || connected.error().message().find("1235") != std::string::npos)
        << connected.error().message();
  }
  void Begin() {
    const Status begun = source.StartDump(request);
    EXPECT_TRUE(begun.ok()) << begun.message();
  }
  // The events of transactions, until there are `bytes` of them or an error.
  Status Read(size_t bytes) {
    while (transactions.size() < bytes) {
      Result<Bytes> event = source.Next();
      if (!event.ok()) return event.error();
      const EventHeader header = ReadEventHeader(event->data());
      const bool beat =
          header.type == EventType::kHeartbeat || header.type == EventType::kHeartbeatV2;
      if (beat) ++heartbeats;
      if (beat || header.type == EventType::kRotate || header.type == EventType::kFormatDescription)
        continue;
      transactions += AsText(*event);
    }
    return OkStatus();
  }
  Code ReadToEnd() {
    const Status ended = Read(SIZE_MAX);
    last_error = ended.message();
    return ended.code();
  }

  MySqlEventSource source;
  DumpRequest request;
  std::string transactions;
  size_t heartbeats = 0;
  std::string last_error;
};

// Bytes of the history's transactions from `first` on, in order.
std::string TransactionsOf(const History& history, size_t first = 0) {
  std::string bytes;
  for (size_t i = first; i < history.all.size(); ++i) {
    const KnownTransaction& known = history.all[i];
    bytes += history.builder.FileBytes(known.file).substr(known.begin, known.end - known.begin);
  }
  return bytes;
}

void ExpectWholeDump(ServedHistory& served, Replica& replica) {
  replica.request.non_blocking = true;
  replica.Begin();
  EXPECT_EQ(replica.ReadToEnd(), Code::kEndOfData) << replica.last_error;
  EXPECT_TRUE(replica.transactions == TransactionsOf(served.history))
      << replica.transactions.size() << " bytes";
}

void GrowOverFiles(ServedHistory& served) {
  for (int file = 1; file <= 3; ++file) {
    served.history.BeginFile("binlog.00000" + std::to_string(file));
    served.history.AddMany(200, {.rows = 3, .row_bytes = 100});
    served.history.AddMany(2, {.row_bytes = 1 << 20});
  }
  served.history.builder.Publish();
}

TEST(ReplicaDump, IsTheArchiveWithoutTls) {
  ServedHistory served;
  GrowOverFiles(served);
  served.Start();
  Replica replica(served);
  ExpectWholeDump(served, replica);
  EXPECT_TRUE(served.server->LastDumpError().ok());
}

TEST(ReplicaDump, IsTheArchiveInTls) {
  ServedHistory served;
  GrowOverFiles(served);
  served.options.tls_required = true;
  served.Start();
  Replica replica(served, TlsMode::kRequired);
  ExpectWholeDump(served, replica);
}

TEST(ReplicaDump, AccountKeptAsAHashLogsInByRsaAndThenTheFastWay) {
  ServedHistory served;
  served.Grow(3);
  served.options.accounts = {{kUser, kHash, "main"}};
  served.Start();
  for (int i = 0; i < 2; ++i) {
    Replica replica(served);
    ExpectWholeDump(served, replica);
  }
}

TEST(ReplicaDump, AccountKeptAsAHashLogsInWithinTls) {
  ServedHistory served;
  served.Grow(3);
  served.options.accounts = {{kUser, kHash, "main"}};
  served.Start();
  Replica replica(served, TlsMode::kRequired);
  ExpectWholeDump(served, replica);
}

TEST(ReplicaDump, WithoutTlsIsRefusedWhereTlsIsRequired) {
  ServedHistory served;
  served.options.tls_required = true;
  served.Start();
  MySqlEventSource source(served.ClientOptions(TlsMode::kDisabled));
  const Result<SourceFacts> facts = source.Connect();
  ASSERT_FALSE(facts.ok());
  EXPECT_NE(facts.error().message().find("3159"), std::string::npos) << facts.error().message();
}

// A key and a certificate signed with itself, in two PEM files.
void WriteCertificate(const std::string& certificate_file, const std::string& key_file) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_set_version(certificate, 2);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("replicas"), -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  ASSERT_NE(X509_sign(certificate, key, EVP_sha256()), 0);
  FILE* file = fopen(certificate_file.c_str(), "w");
  ASSERT_EQ(PEM_write_X509(file, certificate), 1);
  fclose(file);
  file = fopen(key_file.c_str(), "w");
  ASSERT_EQ(PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr), 1);
  fclose(file);
  X509_free(certificate);
  EVP_PKEY_free(key);
}

TEST(ReplicaDump, CertificateFromFilesIsVerified) {
  ServedHistory served;
  served.Grow(3);
  served.options.tls_certificate_file = served.history.dir.Path("certificate.pem");
  served.options.tls_key_file = served.history.dir.Path("key.pem");
  WriteCertificate(served.options.tls_certificate_file, served.options.tls_key_file);
  served.Start();
  tidemark::ConnectionOptions client = served.ClientOptions(TlsMode::kVerifyCa);
  client.tls.ca_file = served.options.tls_certificate_file;
  Replica replica(client);
  ExpectWholeDump(served, replica);

  WriteCertificate(served.history.dir.Path("other.pem"), served.history.dir.Path("other-key.pem"));
  client.tls.ca_file = served.history.dir.Path("other.pem");
  MySqlEventSource distrustful(client);
  EXPECT_FALSE(distrustful.Connect().ok());
}

TEST(ReplicaDump, LeavesOutWhatTheReplicaHas) {
  ServedHistory served;
  GrowOverFiles(served);
  served.Start();
  Replica replica(served);
  replica.request.exclude = BuilderSet(1, 250);
  replica.request.non_blocking = true;
  replica.Begin();
  EXPECT_EQ(replica.ReadToEnd(), Code::kEndOfData) << replica.last_error;
  EXPECT_TRUE(replica.transactions == TransactionsOf(served.history, 250));
}

TEST(ReplicaDump, FollowsTheArchiveAsItGrows) {
  ServedHistory served;
  served.Grow(5);
  served.Start();
  Replica replica(served);
  replica.Begin();
  for (int round = 0; round < 200; ++round) {
    const std::string expected = TransactionsOf(served.history);
    const Status read = replica.Read(expected.size());
    ASSERT_TRUE(read.ok()) << read.message();
    ASSERT_TRUE(replica.transactions == expected) << "round " << round;
    if (round % 50 == 49) served.history.BeginFile("binlog.1" + std::to_string(10000 + round));
    served.GrowAndNotify(1 + round % 3);
  }
  const std::vector<ServedReplica> replicas = served.server->Replicas();
  ASSERT_EQ(replicas.size(), 1u);
  EXPECT_EQ(replicas[0].source, "main");
  EXPECT_EQ(replicas[0].user, kUser);
  EXPECT_EQ(replicas[0].uuid, kReplicaUuid.ToString());
  EXPECT_EQ(replicas[0].server_id, kReplicaServerId);
  EXPECT_EQ(replicas[0].reported_host, kReportedHost);
  EXPECT_GE(replicas[0].bytes_sent, replica.transactions.size());
  replica.source.Disconnect();
  EXPECT_TRUE(Eventually([&] { return served.server->Replicas().empty(); }))
      << "the peer's leaving must end an idle dump";
}

// Growth is announced by another thread, at any moment of the dump's going to sleep.
TEST(ReplicaDump, NoWakeUpIsLost) {
  ServedHistory served;
  served.Grow(1);
  served.Start();
  Replica replica(served);
  replica.request.heartbeat_us = 60'000'000;
  replica.Begin();
  std::thread grower([&] {
    for (int i = 0; i < 500; ++i) served.GrowAndNotify(1);
  });
  size_t gtids = 0;
  while (gtids < 501) {
    Result<Bytes> event = replica.source.Next();
    if (!event.ok()) ADD_FAILURE() << event.error().message();
    if (!event.ok()) break;
    gtids += ReadEventHeader(event->data()).type == EventType::kGtid ? 1 : 0;
  }
  grower.join();
  EXPECT_EQ(gtids, 501u);
}

TEST(ReplicaDump, HeartbeatsComeAtTheReplicasPeriod) {
  ServedHistory served;
  served.Grow(1);
  served.Start();
  Replica replica(served);
  replica.request.heartbeat_us = 20'000;
  replica.Begin();
  size_t beats = 0;
  const auto begin = std::chrono::steady_clock::now();
  while (beats < 5) {
    Result<Bytes> event = replica.source.Next();
    ASSERT_TRUE(event.ok()) << event.error().message();
    const EventType type = ReadEventHeader(event->data()).type;
    beats += type == EventType::kHeartbeat || type == EventType::kHeartbeatV2 ? 1 : 0;
  }
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(60));
}

TEST(ReplicaDump, SameReplicaAgainEndsTheOlderDump) {
  ServedHistory served;
  served.Grow(2);
  served.Start();
  Replica older(served);
  older.Begin();
  ASSERT_TRUE(older.Read(TransactionsOf(served.history).size()).ok());
  Replica other(served);
  other.request.our_uuid = *Uuid::Parse("cccccccc-0000-0000-0000-000000000002");
  other.Begin();
  ASSERT_TRUE(other.Read(TransactionsOf(served.history).size()).ok());
  Replica newer(served);
  newer.Begin();
  ASSERT_TRUE(newer.Read(TransactionsOf(served.history).size()).ok());
  EXPECT_EQ(older.ReadToEnd(), Code::kSourceRefused) << older.last_error;
  EXPECT_NE(older.last_error.find("same server_uuid"), std::string::npos) << older.last_error;
  EXPECT_TRUE(Eventually([&] { return served.server->Replicas().size() == 2; }));
  served.GrowAndNotify(1);
  EXPECT_TRUE(newer.Read(TransactionsOf(served.history).size()).ok());
  EXPECT_TRUE(other.Read(TransactionsOf(served.history).size()).ok());
  EXPECT_TRUE(served.server->LastDumpError().ok());
}

TEST(ReplicaDump, ReplicaAheadOfTheArchiveIsServedWhenItHasCaughtUp) {
  ServedHistory served;
  served.Grow(5);
  served.Start();
  Replica replica(served);
  replica.request.exclude = BuilderSet(1, 7);
  replica.Begin();
  ASSERT_TRUE(Eventually([&] { return served.server->Replicas().size() == 1; }));
  served.GrowAndNotify(1);  // not far enough yet
  served.GrowAndNotify(2);
  const std::string expected = TransactionsOf(served.history, 7);
  const Status read = replica.Read(expected.size());
  EXPECT_TRUE(read.ok()) << read.message();
  EXPECT_TRUE(replica.transactions == expected);
}

TEST(ReplicaDump, ReplicaThatStaysAheadIsRefused) {
  ServedHistory served({.archive_behind_max = milliseconds(50)});
  served.Grow(5);
  served.Start();
  Replica replica(served);
  replica.request.exclude = BuilderSet(1, 7);
  replica.Begin();
  EXPECT_EQ(replica.ReadToEnd(), Code::kDivergence) << replica.last_error;
  EXPECT_EQ(served.server->LastDumpError().code(), Code::kDivergence);
}

TEST(ReplicaDump, ReplicaThatStaysAheadOfAGrowingArchiveIsRefused) {
  ServedHistory served({.archive_behind_max = milliseconds(50)});
  served.Grow(5);
  auto open = served.options.sources[0].open_feed;
  // Whenever the archive is looked at, it has already grown again.
  served.options.sources[0].open_feed = [&served, open](StreamRange range) {
    served.server->NotifyDurable("main");
    return open(std::move(range));
  };
  served.Start();
  Replica replica(served);
  replica.request.exclude = BuilderSet(1, 1'000'000);
  replica.Begin();
  EXPECT_TRUE(Eventually([&] { return !served.server->LastDumpError().ok(); }));
  served.server->Stop();  // what would be tried for ever otherwise
  EXPECT_EQ(served.server->LastDumpError().code(), Code::kDivergence);
}

TEST(ReplicaDump, ReplicaThatStaysAheadIsToldHoweverShortItsOwnPatience) {
  ServedHistory served({.archive_behind_max = milliseconds(300)});
  served.Grow(5);
  served.Start();
  unsigned error = 0;
  for (int attempt = 0; attempt < 100 && error == 0; ++attempt) {
    RawClient replica(*served.server);
    ASSERT_TRUE(replica.LogIn().IsOk());
    replica.SendPacket(DumpCommand(BuilderSet(1, 7)), 0);
    if (replica.SaysSomethingWithin(milliseconds(30)))
      error = replica.Read().value_or(ReceivedPacket{}).Error();
  }
  EXPECT_EQ(error, 1236u);
  // Once it was told, it is waited for anew.
  RawClient again(*served.server);
  ASSERT_TRUE(again.LogIn().IsOk());
  again.SendPacket(DumpCommand(BuilderSet(1, 7)), 0);
  EXPECT_FALSE(again.SaysSomethingWithin(milliseconds(30)));
}

TEST(ReplicaDump, WhatWasPurgedBeforeTheArchiveIsRefused) {
  ServedHistory served;
  served.history.builder.StartBehind(BuilderSet(1, 10));
  served.history.next = 11;
  served.Grow(5);
  served.Start();
  Replica replica(served);
  const tidemark::ConnectionOptions client = served.ClientOptions(TlsMode::kRequired);
  EXPECT_EQ(Ask(client, "@@GLOBAL.gtid_purged"), BuilderSet(1, 10).ToString());
  EXPECT_EQ(Ask(client, "@@GLOBAL.gtid_executed"), BuilderSet(1, 15).ToString());
  replica.Begin();
  EXPECT_EQ(replica.ReadToEnd(), Code::kGap) << replica.last_error;
  EXPECT_EQ(served.server->LastDumpError().code(), Code::kGap);
}

TEST(ReplicaDump, AtTheUpperBoundaryTheReplicaIsKeptByHeartbeats) {
  ServedHistory served;
  served.Grow(10);
  served.options.sources[0].boundary_set = BuilderSet(1, 6);
  served.Start();
  Replica replica(served);
  const tidemark::ConnectionOptions client = served.ClientOptions(TlsMode::kDisabled);
  EXPECT_EQ(Ask(client, "@@GLOBAL.gtid_executed"), BuilderSet(1, 6).ToString());
  EXPECT_EQ(Ask(client, "@@GLOBAL.server_uuid"), kServerUuid.ToString());
  EXPECT_EQ(Ask(client, "@@GLOBAL.server_id"), "4711");
  replica.request.heartbeat_us = 20'000;
  replica.Begin();
  std::string expected;
  for (size_t i = 0; i < 6; ++i) {
    const KnownTransaction& known = served.history.all[i];
    expected +=
        served.history.builder.FileBytes(known.file).substr(known.begin, known.end - known.begin);
  }
  ASSERT_TRUE(replica.Read(expected.size()).ok());
  for (int beats = 0; beats < 3;) {
    Result<Bytes> event = replica.source.Next();
    ASSERT_TRUE(event.ok()) << event.error().message();
    const EventType type = ReadEventHeader(event->data()).type;
    ASSERT_TRUE(type == EventType::kHeartbeat || type == EventType::kHeartbeatV2);
    if (++beats == 1) served.GrowAndNotify(5);
  }
}

TEST(ReplicaDump, FiveReplicasAtOnce) {
  ServedHistory served;
  GrowOverFiles(served);
  served.Start();
  std::vector<std::unique_ptr<Replica>> replicas;
  for (int i = 0; i < 5; ++i) {
    replicas.push_back(
        std::make_unique<Replica>(served, i % 2 ? TlsMode::kRequired : TlsMode::kDisabled));
    replicas.back()->request.our_uuid.bytes[15] = static_cast<uint8_t>(100 + i);
  }
  std::vector<std::thread> threads;
  for (auto& replica : replicas) threads.emplace_back([&] { ExpectWholeDump(served, *replica); });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace tidemark::testing
