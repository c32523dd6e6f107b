// Runs the tools that copy a source's binlog side by side, several rounds in turn, and prints one
// table: time, throughput, CPU, memory, and the ratios between them. Used by tools/bench ingest;
// measures whole processes, start to exit.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

struct Run {
  double wall_s = 0;
  double cpu_s = 0;
  double peak_mib = 0;
};

Run Measure(const std::vector<std::string>& argv) {
  std::vector<char*> arguments;
  for (const std::string& text : argv) arguments.push_back(const_cast<char*>(text.c_str()));
  arguments.push_back(nullptr);
  const auto begun = std::chrono::steady_clock::now();
  const pid_t child = fork();
  if (child == 0) {
    if (std::freopen("/dev/null", "w", stdout) == nullptr) _exit(126);
    execvp(arguments[0], arguments.data());
    _exit(127);
  }
  int status = 0;
  struct rusage usage {};
  wait4(child, &status, 0, &usage);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    std::fprintf(stderr, "ingest_compare: %s failed\n", argv[0].c_str());
    std::exit(1);
  }
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  Run run;
  run.wall_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  run.cpu_s = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  run.peak_mib = static_cast<double>(usage.ru_maxrss) / 1024;
  return run;
}

// By wall time; an odd number of rounds gives a real run.
Run Median(std::vector<Run> runs) {
  std::sort(runs.begin(), runs.end(),
            [](const Run& a, const Run& b) { return a.wall_s < b.wall_s; });
  return runs[runs.size() / 2];
}

uint64_t BytesBelow(const fs::path& directory) {
  uint64_t bytes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(directory))
    if (entry.is_regular_file()) bytes += entry.file_size();
  return bytes;
}

}  // namespace

// ingest_compare ROUNDS WORK_DIR SOCKET SOURCE_BYTES BARE_FETCH MYSQLBINLOG TIDEMARKD ZSTD_BYTES
int main(int argc, char** argv) {
  if (argc != 9) return 2;
  const int rounds = std::atoi(argv[1]);
  const fs::path work = argv[2];
  const std::string socket = argv[3], bare = argv[5], mysqlbinlog = argv[6], tidemarkd = argv[7];
  const double bytes = std::atof(argv[4]), zstd_bytes = std::atof(argv[8]);
  const fs::path raw = work / "raw", archive = work / "archive", config = work / "tidemarkd.toml";
  std::ofstream(config) << "archive = \"" << archive.string()
                        << "\"\n[log]\nlevel = \"warn\"\n[[source]]\nname = \"bench\"\nsocket = \""
                        << socket << "\"\nuser = \"root\"\nserver_id = 4299998\n";

  std::vector<Run> fetches, copies, archives;
  Measure({bare, socket});  // warms the page cache: the first reader should not pay for all
  for (int round = 0; round < rounds; ++round) {
    fetches.push_back(Measure({bare, socket}));
    fs::remove_all(raw);
    fs::create_directories(raw);
    copies.push_back(
        Measure({mysqlbinlog, "--no-defaults", "--read-from-remote-source=BINLOG-DUMP-GTIDS",
                 "--raw", "--to-last-log", "--user=root", "--socket=" + socket,
                 "--result-file=" + raw.string() + "/", "binlog.000001"}));
    fs::remove_all(archive);
    archives.push_back(Measure({tidemarkd, "--config", config.string(), "--once"}));
  }

  const Run fetch = Median(fetches), copy = Median(copies), tide = Median(archives);
  const auto row = [&](const char* name, const Run& run) {
    std::printf("| %-44s | %6.2f s | %5.0f MB/s | %6.2f s | %6.0f MiB | %5.2fx | %4.0f %% |\n",
                name, run.wall_s, bytes / 1e6 / run.wall_s, run.cpu_s, run.peak_mib,
                copy.wall_s / run.wall_s, 100 * fetch.wall_s / run.wall_s);
  };
  std::printf("%.1f MB of binlog, median of %d rounds\n\n", bytes / 1e6, rounds);
  std::printf(
      "| tool | time | throughput | CPU | peak memory | vs mysqlbinlog | of bare fetch "
      "|\n|---|---|---|---|---|---|---|\n");
  row("bare mysql_binlog_fetch loop, thrown away", fetch);
  row("mysqlbinlog --raw (no fsync, no compression)", copy);
  row("tidemarkd --once (durable, indexed)", tide);
  const double stored = static_cast<double>(BytesBelow(archive / "bench" / "segments"));
  const double index = static_cast<double>(BytesBelow(archive / "index"));
  std::printf(
      "\narchive %.1f MB = %.3f of the binlog = %.3fx of what zstd -1 gives (%.1f MB); index %.2f "
      "MB = %.3f %% of the archive\n",
      stored / 1e6, stored / bytes, stored / zstd_bytes, zstd_bytes / 1e6, index / 1e6,
      100 * index / stored);
  return 0;
}
