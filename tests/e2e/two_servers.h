// Two real servers that are one source: a, and b, which is read-only and may follow it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tests/e2e/daemon_fixture.h"

namespace tidemark::testing {

inline void Sql(MySqlServer& server, const std::string& sql) {
  const Status done = server.Execute(sql);
  ASSERT_TRUE(done.ok()) << sql << ": " << done.message();
}

class TwoServersTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (auto* server : {&a_, &b_}) {
      *server = StartPrimary();
      ASSERT_TRUE(*server);
    }
    Sql(b(), "SET GLOBAL super_read_only = ON");
  }

  MySqlServer& a() { return *a_; }
  MySqlServer& b() { return *b_; }
  std::string Source(const std::string& name, int server_id, const std::string& settings) {
    return "[[source]]\nname = \"" + name +
           "\"\nuser = \"root\"\nserver_id = " + std::to_string(server_id) + "\nhosts = [\"" +
           HostOf(a()) + "\", \"" + HostOf(b()) +
           "\"]\nconnect_timeout_s = 5\nheartbeat_ms = 200\nretry_ms_min = 10\n"
           "retry_ms_max = 500\n" +
           settings;
  }
  void Follow() {
    Sql(b(), "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = " +
                 std::to_string(a().port()) +
                 ", SOURCE_USER = 'root', GET_SOURCE_PUBLIC_KEY = 1, SOURCE_AUTO_POSITION = 1; "
                 "START REPLICA");
  }
  bool CaughtUp() {
    const GtidSet all = ExecutedOn(a());
    return WaitUntil([&] { return all.IsSubsetOf(ExecutedOn(b())); }, kPatienceMs);
  }
  void Promote() {
    Sql(b(),
        "STOP REPLICA; RESET REPLICA ALL; SET GLOBAL super_read_only = OFF; "
        "SET GLOBAL read_only = OFF");
  }

 private:
  std::unique_ptr<MySqlServer> a_, b_;
};

}  // namespace tidemark::testing
