// sim [--seeds N] [--from SEED] [--seed SEED] [--trace] [--real-index-in N] [--check-determinism]
//
// Runs seeds FROM .. FROM+N-1 one after the other. Exit code 1 and the failing seed on the first
// violation. `--seed S --trace` tells everything that happened in one run.
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tests/sim/run.h"

namespace tidemark::sim {
namespace {

struct Arguments {
  uint64_t seeds = 10'000;
  uint64_t from = 1;
  bool trace = false;
  bool determinism = false;
  uint64_t real_index_in = 250;
};

std::atomic<uint64_t> running_seed = 0;

// Whatever stops the process, the seed is told.
void OnFatalSignal(int signal) {
  char text[96];
  const int size = std::snprintf(text, sizeof(text), "\nFAILED seed %llu: signal %d\n",
                                 static_cast<unsigned long long>(running_seed.load()), signal);
  if (::write(STDOUT_FILENO, text, static_cast<size_t>(size)) < 0) std::_Exit(3);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

bool Parse(int argc, char** argv, Arguments* arguments) {
  for (int i = 1; i < argc; ++i) {
    std::string_view name = argv[i];
    if (name == "--trace") {
      arguments->trace = true;
      continue;
    }
    if (name == "--check-determinism") {
      arguments->determinism = true;
      continue;
    }
    const size_t equals = name.find('=');
    if (equals == std::string_view::npos && ++i == argc) return false;
    const std::string value(equals == std::string_view::npos ? argv[i] : name.substr(equals + 1));
    name = name.substr(0, equals);
    const uint64_t number = std::strtoull(value.c_str(), nullptr, 10);
    if (name == "--seeds")
      arguments->seeds = number;
    else if (name == "--from")
      arguments->from = number;
    else if (name == "--real-index-in")
      arguments->real_index_in = number;
    else if (name == "--seed")
      arguments->from = number, arguments->seeds = 1;
    else
      return false;
  }
  return true;
}

void Print(const RunCounts& c, double seconds) {
  const auto n = [](uint64_t value) { return static_cast<unsigned long long>(value); };
  std::printf(
      "%llu seeds in %.1f s (%.0f a second): %llu lives (%llu power cuts, %llu kills, %llu stops), "
      "%llu turns\n%llu transactions, %llu batches, %llu acknowledged, %llu segments; %llu disk "
      "failures, %llu "
      "fail-overs, %llu set back, %llu divergences refused, %llu with gaps, %llu torn tails "
      "refused, %llu reserves given up\n",
      n(c.runs), seconds, static_cast<double>(c.runs) / seconds, n(c.lives), n(c.power_cuts),
      n(c.kills), n(c.stops), n(c.turns), n(c.transactions), n(c.batches), n(c.acknowledged),
      n(c.segments), n(c.disk_failures), n(c.failovers), n(c.set_backs), n(c.divergences),
      n(c.gaps), n(c.refused_tails), n(c.reserves_given_up));
}

int Main(int argc, char** argv) {
  Arguments arguments;
  if (!Parse(argc, argv, &arguments)) {
    std::fprintf(stderr,
                 "usage: sim [--seeds N] [--from SEED] [--seed SEED] [--trace] "
                 "[--real-index-in N] [--check-determinism]\n");
    return 2;
  }
  spdlog::set_level(arguments.trace ? spdlog::level::info : spdlog::level::off);
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE}) std::signal(signal, OnFatalSignal);
  // RocksDB syncs its tables, to no purpose here.
  if (::access("/dev/shm", W_OK) == 0) ::setenv("TMPDIR", "/dev/shm", 0);
  RunCounts counts;
  const auto begin = std::chrono::steady_clock::now();
  for (uint64_t seed = arguments.from; seed < arguments.from + arguments.seeds; ++seed) {
    running_seed = seed;
    const RunOptions options{seed, arguments.trace, arguments.real_index_in};
    RunResult result = Run(options).Go();
    if (arguments.determinism && !result.violation &&
        Run(options).Go().fingerprint != result.fingerprint)
      result.violation = {"determinism", "the same seed ran differently"};
    counts.Add(result.counts);
    if (result.violation) {
      std::printf("FAILED seed %llu: %s: %s\nagain with: sim --seed=%llu --trace\n",
                  static_cast<unsigned long long>(seed), result.violation->oracle.c_str(),
                  result.violation->message.c_str(), static_cast<unsigned long long>(seed));
      return 1;
    }
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  Print(counts, took.count());
  return 0;
}

}  // namespace
}  // namespace tidemark::sim

int main(int argc, char** argv) { return tidemark::sim::Main(argc, argv); }
