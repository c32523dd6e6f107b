// The ceiling for anything that archives through libmysqlclient: a bare mysql_binlog_fetch loop,
// the events thrown away. bare_fetch SOCKET: reads everything root@SOCKET has, by GTID from the
// empty set, and prints bytes and events.
#include <mysql.h>

#include <cstdio>
#include <cstring>

namespace {

int Fail(MYSQL* mysql, const char* what) {
  std::fprintf(stderr, "bare_fetch: %s: %s\n", what, mysql_error(mysql));
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: bare_fetch SOCKET\n");
    return 2;
  }
  MYSQL* mysql = mysql_init(nullptr);
  unsigned protocol = MYSQL_PROTOCOL_SOCKET;
  unsigned long packet_max = 1ul << 30;
  mysql_options(mysql, MYSQL_OPT_PROTOCOL, &protocol);
  mysql_options(mysql, MYSQL_OPT_MAX_ALLOWED_PACKET, &packet_max);
  if (mysql_real_connect(mysql, nullptr, "root", "", nullptr, 0, argv[1], 0) == nullptr)
    return Fail(mysql, "connect");
  if (mysql_query(mysql, "SET @source_binlog_checksum='CRC32', @master_binlog_checksum='CRC32'") !=
      0)
    return Fail(mysql, "set");

  MYSQL_RPL rpl{};
  char file[] = "";
  unsigned char empty_set[8] = {};
  rpl.file_name = file;
  rpl.start_position = 4;
  rpl.server_id = 4299999;
  rpl.flags = MYSQL_RPL_GTID | 1;  // bit 0: BINLOG_DUMP_NON_BLOCK
  rpl.gtid_set_encoded_size = sizeof(empty_set);
  rpl.fix_gtid_set = [](MYSQL_RPL* request, unsigned char* packet) {
    std::memcpy(packet, request->gtid_set_arg, request->gtid_set_encoded_size);
  };
  rpl.gtid_set_arg = empty_set;
  if (mysql_binlog_open(mysql, &rpl) != 0) return Fail(mysql, "open");
  unsigned long long bytes = 0, events = 0;
  for (;;) {
    if (mysql_binlog_fetch(mysql, &rpl) != 0) return Fail(mysql, "fetch");
    if (rpl.size == 0) break;
    bytes += rpl.size - 1;
    ++events;
  }
  std::printf("%llu bytes, %llu events\n", bytes, events);
  mysql_binlog_close(mysql, &rpl);
  mysql_close(mysql);
  return 0;
}
