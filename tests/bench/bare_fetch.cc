// A bare mysql_binlog_fetch loop, the events thrown away: the ceiling for anything that archives
// through libmysqlclient, and the fastest reader that a server of events can have.
//   bare_fetch SOCKET                     as root, without a password
//   bare_fetch HOST PORT USER [tls]       password in BARE_FETCH_PASSWORD; without TLS unless asked
// Reads everything there is, by GTID from the empty set, and prints seconds, bytes and events.
#include <mysql.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

int Fail(MYSQL* mysql, const char* what) {
  std::fprintf(stderr, "bare_fetch: %s: %s\n", what, mysql_error(mysql));
  return 1;
}

bool Connect(MYSQL* mysql, int argc, char** argv) {
  const bool tcp = argc > 2;
  const unsigned protocol = tcp ? MYSQL_PROTOCOL_TCP : MYSQL_PROTOCOL_SOCKET;
  const unsigned long packet_max = 1ul << 30;
  const unsigned tls = argc > 4 ? SSL_MODE_REQUIRED : SSL_MODE_DISABLED;
  const bool fetch_key = true;
  mysql_options(mysql, MYSQL_OPT_PROTOCOL, &protocol);
  mysql_options(mysql, MYSQL_OPT_MAX_ALLOWED_PACKET, &packet_max);
  mysql_options(mysql, MYSQL_OPT_SSL_MODE, &tls);
  mysql_options(mysql, MYSQL_OPT_GET_SERVER_PUBLIC_KEY, &fetch_key);
  const char* password = std::getenv("BARE_FETCH_PASSWORD");
  if (tcp)
    return mysql_real_connect(mysql, argv[1], argv[3], password, nullptr,
                              static_cast<unsigned>(std::atoi(argv[2])), nullptr, 0) != nullptr;
  return mysql_real_connect(mysql, nullptr, "root", "", nullptr, 0, argv[1], 0) != nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc == 3 || argc > 5) {
    std::fprintf(stderr, "usage: bare_fetch SOCKET | HOST PORT USER [tls]\n");
    return 2;
  }
  MYSQL* mysql = mysql_init(nullptr);
  if (!Connect(mysql, argc, argv)) return Fail(mysql, "connect");
  if (mysql_query(mysql, "SET @source_binlog_checksum='CRC32', @master_binlog_checksum='CRC32'") !=
      0)
    return Fail(mysql, "set");

  MYSQL_RPL rpl{};
  char file[] = "";
  unsigned char empty_set[8] = {};
  rpl.file_name = file;
  rpl.start_position = 4;
  rpl.server_id = static_cast<unsigned>(
      4200000000u + static_cast<unsigned>(getpid()));  // several may read at once
  rpl.flags = MYSQL_RPL_GTID | 1;                      // bit 0: BINLOG_DUMP_NON_BLOCK
  rpl.gtid_set_encoded_size = sizeof(empty_set);
  rpl.fix_gtid_set = [](MYSQL_RPL* request, unsigned char* packet) {
    std::memcpy(packet, request->gtid_set_arg, request->gtid_set_encoded_size);
  };
  rpl.gtid_set_arg = empty_set;
  const auto begun = std::chrono::steady_clock::now();
  if (mysql_binlog_open(mysql, &rpl) != 0) return Fail(mysql, "open");
  unsigned long long bytes = 0, events = 0;
  for (;;) {
    if (mysql_binlog_fetch(mysql, &rpl) != 0) return Fail(mysql, "fetch");
    if (rpl.size == 0) break;
    bytes += rpl.size - 1;
    ++events;
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begun;
  std::printf("%.3f s, %llu bytes, %llu events\n", seconds.count(), bytes, events);
  mysql_binlog_close(mysql, &rpl);
  mysql_close(mysql);
  return 0;
}
