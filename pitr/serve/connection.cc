#include "pitr/serve/connection.h"

#include <openssl/crypto.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "pitr/serve/dump_session.h"
#include "replication/base/clock.h"
#include "replication/base/pool_work.h"

namespace tidemark {
namespace {

namespace asio = boost::asio;
using std::chrono::steady_clock;
using Payloads = std::vector<std::string>;

constexpr std::chrono::seconds kGtidFactsKept{2};

constexpr const char* kWhatThisIs =
    "This is Tidemark, an archive of a MySQL server's binary logs, for replicas";

std::string MalformedPacket() {
  return ErrorPayload(1835, "HY000", "Malformed communication packet.");
}

// ReadPacket's refusals, in a server's words.
std::string ProtocolErrorPayload(const Status& error) {
  if (error.code() == Code::kUsage)
    return ErrorPayload(1153, "08S01", "Got a packet bigger than 'max_allowed_packet' bytes");
  return ErrorPayload(1156, "08S01", "Got packets out of order");
}

// Whether the answer may have GTID sets in it, which cost a look at the archive. SHOW: BINARY LOG
// STATUS and VARIABLES have them.
bool MayAskForGtids(std::string_view sql) {
  const auto same = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
  const auto has = [&](std::string_view word) {
    return std::search(sql.begin(), sql.end(), word.begin(), word.end(), same) != sql.end();
  };
  return has("gtid_executed") || has("gtid_purged") || has("show");
}

Result<GtidFacts> ReadGtidFacts(const ServedSource& source) {
  TM_ASSIGN_OR_RETURN(const std::unique_ptr<EventFeed> feed, source.open_feed({}));
  const Coverage coverage = feed->coverage();
  const GtidSet executed = source.boundary_set ? *source.boundary_set : coverage.end;
  GtidFacts facts;
  facts.executed = executed.ToString();
  facts.purged = executed.Minus(coverage.archived).ToString();
  return facts;
}

class Client {
 public:
  explicit Client(Admission& admission)
      : admission_(admission), server_(admission.server()), link_(admission.link()) {}
  asio::awaitable<void> Run();

 private:
  asio::awaitable<Status> LogIn();
  asio::awaitable<Status> FollowLogin(LoginMachine& machine);
  asio::awaitable<Status> ServeCommands();
  asio::awaitable<Status> RefusePacket(Status error);
  asio::awaitable<Payloads> Answer(Command command, std::string_view body);
  asio::awaitable<Payloads> AnswerQuery(std::string_view sql);
  asio::awaitable<Result<GtidFacts>> CurrentGtids();
  std::string Register(std::string_view body);
  asio::awaitable<Status> Dump(std::string packet);

  Admission& admission_;
  ServerState& server_;
  PacketLink& link_;
  std::string user_;
  const ServedSource* source_ = nullptr;
  ServeSession session_;
  RegisterReplica registered_;
};

asio::awaitable<void> Client::Run() {
  const Status logged_in = co_await LogIn();
  if (logged_in.code() == Code::kEndOfData || logged_in.code() == Code::kInterrupted) {
    spdlog::debug("connection of {}: {}", link_.peer(), logged_in.message());
  } else if (!logged_in.ok()) {
    spdlog::warn("connection of {} refused: {}", link_.peer(), logged_in.message());
    server_.SetLastError(logged_in);
    ++server_.logins_refused;
  }
  Status ended = logged_in;
  if (logged_in.ok()) {
    ended = co_await ServeCommands();
    spdlog::debug("connection of {}: {}", link_.peer(), ended.message());
  }
  co_await link_.Finish();
}

asio::awaitable<Status> Client::LogIn() {
  const PacketLink::Deadline deadline(link_, server_.options.limits.login_max,
                                      Status(Code::kIo, "the client did not log in in time"));
  LoginOptions options;
  options.server_version = server_.options.server_version;
  options.tls_offered = true;
  options.tls_required = server_.options.tls_required;
  options.connection_id = ++server_.last_connection_id;
  LoginMachine machine(server_.accounts, *server_.rsa, options, RandomNonce());
  const Status followed = co_await FollowLogin(machine);
  if (!followed.ok()) co_return followed;
  user_ = machine.user();
  source_ = server_.Source(server_.accounts.SourceOf(user_));
  TM_CHECK(source_ != nullptr);  // Start looked
  admission_.SetLoggedIn();
  co_return OkStatus();
}

asio::awaitable<Status> Client::FollowLogin(LoginMachine& machine) {
  LoginMachine::Step step = machine.Greet();
  for (;;) {
    const Status sent = co_await link_.Send(std::move(step.send));
    if (step.next == LoginMachine::Next::kFail) co_return step.reason;
    if (!sent.ok() || step.next == LoginMachine::Next::kDone) co_return sent;
    if (step.next == LoginMachine::Next::kStartTls) {
      const Status encrypted = co_await link_.StartTls(*server_.tls);
      if (!encrypted.ok()) co_return encrypted;
    }
    Result<std::string> packet =
        co_await link_.ReadPacket(PacketLink::Begin::kAnswer, kLoginPacketBytesMax);
    if (!packet.ok()) co_return co_await RefusePacket(packet.error());
    auto work = [&] { return machine.OnPacket(AsBytes(*packet)); };
    step = co_await InPool(server_.logins, work);
    OPENSSL_cleanse(packet->data(), packet->size());  // it may have been the password
  }
}

asio::awaitable<Status> Client::RefusePacket(Status error) {
  if (!link_.open()) co_return error;
  Payloads answer{ProtocolErrorPayload(error)};
  const Status ignored = co_await link_.Send(std::move(answer));
  co_return error;
}

asio::awaitable<Status> Client::ServeCommands() {
  for (;;) {
    std::optional<PacketLink::Deadline> idle;
    idle.emplace(link_, server_.options.limits.idle_max, Status(Code::kIo, "the client is idle"));
    Result<std::string> packet =
        co_await link_.ReadPacket(PacketLink::Begin::kCommand, kCommandPacketBytesMax);
    idle.reset();
    if (!packet.ok()) co_return co_await RefusePacket(packet.error());
    const auto command = static_cast<Command>(packet->empty() ? 0 : packet->front());
    const std::string_view body = std::string_view(*packet).substr(packet->empty() ? 0 : 1);
    if (command == Command::kQuit) co_return Status(Code::kEndOfData, "the client said goodbye");
    if (command == Command::kBinlogDumpGtid) co_return co_await Dump(std::move(*packet));
    Payloads answer = co_await Answer(command, body);
    const Status sent = co_await link_.Send(std::move(answer));
    if (!sent.ok()) co_return sent;
  }
}

asio::awaitable<Payloads> Client::Answer(Command command, std::string_view body) {
  std::string answer;
  switch (command) {
    case Command::kQuery: co_return co_await AnswerQuery(body);
    case Command::kPing: answer = OkPayload(); break;
    case Command::kSetOption: answer = EofPayload(); break;
    case Command::kStatistics: answer = kWhatThisIs; break;
    case Command::kRegisterReplica: answer = Register(body); break;
    case Command::kResetConnection:
      session_ = {};
      answer = OkPayload();
      break;
    case Command::kInitDb:
      answer = ErrorPayload(1049, "42000", "Unknown database: there are none here");
      break;
    case Command::kBinlogDump:
      answer = ErrorPayload(1236, "HY000",
                            "The archive is read by GTIDs, not by file and position: use "
                            "SOURCE_AUTO_POSITION=1 in CHANGE REPLICATION SOURCE TO (mysqlbinlog: "
                            "--read-from-remote-source=BINLOG-DUMP-GTIDS)");
      break;
    default: answer = ErrorPayload(1047, "08S01", "Unknown command"); break;
  }
  Payloads payloads;
  payloads.push_back(std::move(answer));
  co_return payloads;
}

asio::awaitable<Payloads> Client::AnswerQuery(std::string_view sql) {
  ServedFacts facts;
  facts.source = source_->name;
  facts.server_version = server_.options.server_version;
  facts.server_uuid = source_->server_uuid;
  facts.server_id = source_->server_id;
  facts.now_us = SystemClock().WallMicroseconds();
  for (const ServedReplica& replica : server_.dumps.Snapshot()) {
    if (replica.source != source_->name) continue;
    facts.replicas.push_back(
        {replica.server_id, replica.reported_host, replica.reported_port, replica.uuid});
  }
  if (MayAskForGtids(sql)) {
    Result<GtidFacts> gtids = co_await CurrentGtids();
    if (!gtids.ok()) {
      Payloads refused{ErrorPayload(1105, "HY000", gtids.error().message())};
      co_return refused;
    }
    facts.gtid_executed = std::move(gtids->executed);
    facts.gtid_purged = std::move(gtids->purged);
  }
  co_return AnswerStatement(sql, facts, &session_);
}

asio::awaitable<Result<GtidFacts>> Client::CurrentGtids() {
  const auto now = steady_clock::now();
  const auto known = server_.gtid_facts.find(source_->name);
  if (known != server_.gtid_facts.end() && now < known->second.until) co_return known->second;
  auto read = [source = source_] { return ReadGtidFacts(*source); };
  Result<GtidFacts> facts = co_await InPool(server_.readers, read);
  if (facts.ok()) {
    facts->until = now + kGtidFactsKept;
    server_.gtid_facts[source_->name] = *facts;
  }
  co_return facts;
}

std::string Client::Register(std::string_view body) {
  Result<RegisterReplica> parsed = ParseRegisterReplica(AsBytes(body));
  if (!parsed.ok()) return MalformedPacket();
  registered_ = std::move(*parsed);
  return OkPayload();
}

// A connection that has dumped is of no more use, as with a source.
asio::awaitable<Status> Client::Dump(std::string packet) {
  Result<DumpGtid> request = ParseDumpGtid(AsBytes(packet).subspan(1));
  packet = std::string();  // a dump is long, and may have begun with a large set
  if (!request.ok()) {
    Payloads refused{MalformedPacket()};
    const Status ignored = co_await link_.Send(std::move(refused));
    co_return request.error();
  }
  ServedReplica replica;
  replica.source = source_->name;
  replica.user = user_;
  replica.peer = link_.peer();
  replica.reported_host = registered_.host;
  replica.reported_port = registered_.port;
  replica.tls = link_.in_tls();
  replica.since_us = SystemClock().WallMicroseconds();
  DumpSession session(server_, link_, *source_);
  co_await session.Run(std::move(*request), session_, std::move(replica));
  co_return Status(Code::kEndOfData, "the dump is over");
}

}  // namespace

Admission::Admission(ServerState& server, PacketLink::Socket socket)
    : server_(server),
      link_(std::make_shared<PacketLink>(std::move(socket), server.options.limits.stalled_max)) {
  server_.links.insert(link_.get());
  server_.pending_logins.push_back(link_.get());
}

Admission::~Admission() {
  SetLoggedIn();
  server_.links.erase(link_.get());
  link_->Close(Status(Code::kEndOfData, "the connection is over"));
}

void Admission::SetLoggedIn() {
  if (std::exchange(pending_, false)) server_.pending_logins.remove(link_.get());
}

asio::awaitable<void> ServeClient(std::unique_ptr<Admission> admission) {
  try {
    Client client(*admission);
    co_await client.Run();
  } catch (const std::exception& error) {  // exhausted memory: theirs is the connection that ends
    spdlog::error("connection of {}: {}", admission->link().peer(), error.what());
  }
}

}  // namespace tidemark
