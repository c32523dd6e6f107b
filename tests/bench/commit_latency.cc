// Clients that commit one row after the other, and how long each commit takes them:
//   commit_latency SOCKET WRITERS SECONDS
// as root, without a password. Makes bench_commit.t if it is not there. Prints commits per second,
// then the median, the 99th percentile and the longest latency, in ms.
#include <mysql.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

class Client {
 public:
  explicit Client(const char* socket) : mysql_(mysql_init(nullptr)) {
    const unsigned protocol = MYSQL_PROTOCOL_SOCKET;
    mysql_options(mysql_, MYSQL_OPT_PROTOCOL, &protocol);
    if (mysql_real_connect(mysql_, nullptr, "root", "", nullptr, 0, socket, 0) == nullptr) Fail();
  }
  ~Client() { mysql_close(mysql_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void Run(const std::string& sql) {
    if (mysql_real_query(mysql_, sql.data(), sql.size()) != 0) Fail();
  }

 private:
  [[noreturn]] void Fail() {
    std::fprintf(stderr, "commit_latency: %s\n", mysql_error(mysql_));
    std::exit(1);
  }
  MYSQL* mysql_;
};

// Latencies in microseconds.
std::vector<int64_t> Write(const char* socket, Clock::time_point from, Clock::time_point until) {
  Client client(socket);
  const std::string sql =
      "INSERT INTO bench_commit.t (filler) VALUES ('" + std::string(180, 'x') + "')";
  std::vector<int64_t> latencies;
  for (Clock::time_point begun = Clock::now(); begun < until;) {
    client.Run(sql);
    const Clock::time_point ended = Clock::now();
    if (begun >= from)
      latencies.push_back(
          std::chrono::duration_cast<std::chrono::microseconds>(ended - begun).count());
    begun = ended;
  }
  return latencies;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: commit_latency SOCKET WRITERS SECONDS\n");
    return 2;
  }
  const auto writers = static_cast<size_t>(std::atoi(argv[2]));
  const double seconds = std::atof(argv[3]);
  {
    Client client(argv[1]);
    client.Run("CREATE DATABASE IF NOT EXISTS bench_commit");
    client.Run(
        "CREATE TABLE IF NOT EXISTS bench_commit.t (id BIGINT AUTO_INCREMENT PRIMARY KEY, "
        "filler VARCHAR(200) NOT NULL)");
  }
  // The first second warms up.
  const Clock::time_point from = Clock::now() + std::chrono::seconds(1);
  const Clock::time_point until =
      from + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  std::vector<std::vector<int64_t>> results(writers);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < writers; ++i)
    threads.emplace_back([&, i] { results[i] = Write(argv[1], from, until); });
  for (std::thread& thread : threads) thread.join();

  std::vector<int64_t> all;
  for (const std::vector<int64_t>& some : results) all.insert(all.end(), some.begin(), some.end());
  if (all.empty()) {
    std::fprintf(stderr, "commit_latency: not one commit came through\n");
    return 1;
  }
  std::sort(all.begin(), all.end());
  const auto ms = [&](size_t at) { return 1e-3 * static_cast<double>(all[at]); };
  std::printf("%.0f %.2f %.2f %.2f\n", static_cast<double>(all.size()) / seconds,
              ms(all.size() / 2), ms(all.size() - 1 - all.size() / 100), ms(all.size() - 1));
  return 0;
}
