// soak [--minutes N] [--seed N] [--pause-ms MEAN] [--directory DIR] [--programs DIR]
//
// A real primary under load and tidemarkd as its semi-synchronous replica through a bad network,
// with a fault every few seconds; prints a line a minute, and at the end what it took. Exit code 1
// if anything is not as deploy/GUARANTEES.md says; then everything stays in the directory, with
// what was done when in faults.log. The seed draws the faults and the load; the timing of a real
// server does not repeat.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "tests/soak/audit.h"
#include "tests/soak/faults.h"
#include "tests/soak/samples.h"
#include "tests/soak/workload.h"
#include "tests/support/seed.h"

namespace tidemark::soak {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr int kLongLifeFromMinutes = 30;  // runs that have a long life of the daemon

bool Parse(int argc, char** argv, Options* options) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const std::string value = argv[i + 1];
    if (name == "--minutes")
      options->minutes = std::atoi(value.c_str());
    else if (name == "--seed")
      options->seed = std::strtoull(value.c_str(), nullptr, 10);
    else if (name == "--pause-ms")
      options->pause_ms_mean = std::atoi(value.c_str());
    else if (name == "--directory")
      options->directory = value;
    else if (name == "--programs")
      options->programs = value;
    else
      return false;
  }
  return argc % 2 == 1 && options->minutes > 0 && options->pause_ms_mean > 0;
}

// Faults until the time is up. In a long run nobody ends the daemon from a fifth to three fifths of
// the time.
void Rage(Rig& rig, const Workload& workload, const FileAudit& files, Samples& samples,
          Faults& faults) {
  const auto begun = SteadyClock::now();
  const auto length = std::chrono::minutes(rig.options().minutes);
  auto next_line = begun + std::chrono::minutes(1);
  while (SteadyClock::now() - begun < length) {
    const auto age = SteadyClock::now() - begun;
    const bool spare =
        rig.options().minutes >= kLongLifeFromMinutes && age > length / 5 && age < length * 3 / 5;
    samples.LongLife(spare);
    faults.Next(spare);
    if (SteadyClock::now() < next_line) continue;
    next_line += std::chrono::minutes(1);
    char line[200];
    std::snprintf(
        line, sizeof line, "%3lld min: %llu commits, %llu faults, %llu files compared, ",
        static_cast<long long>(
            std::chrono::duration_cast<std::chrono::minutes>(SteadyClock::now() - begun).count()),
        static_cast<unsigned long long>(workload.commits()),
        static_cast<unsigned long long>(faults.done()),
        static_cast<unsigned long long>(files.files()));
    rig.report().Say(line + samples.Line());
  }
}

Status Soak(Rig& rig) {
  TM_RETURN_IF_ERROR(rig.Start());
  TM_RETURN_IF_ERROR(rig.StartDaemon(false));
  TM_RETURN_IF_ERROR(CreateTables(rig));
  Workload workload(rig, rig.options().seed);
  FileAudit files(rig);
  Samples samples(rig);
  Faults faults(rig, rig.options().seed, [&] { return workload.Succeeded(); });
  Rage(rig, workload, files, samples, faults);
  (void)faults.Recover();
  workload.Stop();
  (void)faults.Recover(false);
  samples.Stop();
  files.Stop();
  rig.StopDaemon();
  files.Rest();
  CheckEnd(rig, workload);
  rig.report().Say(std::to_string(workload.commits()) + " commits, " +
                   std::to_string(files.files()) + " binary logs of " +
                   std::to_string(files.bytes() >> 20) + " MiB exported as the primary wrote them");
  faults.Print(rig.report());
  samples.PrintAndJudge(rig.report());
  return OkStatus();
}

int Main(int argc, char** argv) {
  Options options;
  options.seed = 0;
  options.programs = std::filesystem::path(argv[0]).parent_path();
  if (options.programs.empty()) options.programs = ".";
  if (!Parse(argc, argv, &options)) {
    std::fprintf(stderr,
                 "usage: soak [--minutes N] [--seed N] [--pause-ms MEAN] [--directory DIR] "
                 "[--programs DIR]\n");
    return 2;
  }
  if (options.seed == 0) options.seed = testing::TestSeed();
  if (options.directory.empty()) {
    const char* parent = std::getenv("TMPDIR");
    options.directory = std::string(parent != nullptr ? parent : "/tmp") + "/tidemark-soak-XXXXXX";
    TM_CHECK(::mkdtemp(options.directory.data()) != nullptr);
  }
  ::setenv("TMPDIR", options.directory.c_str(), 1);
  ::setenv("XDG_STATE_HOME", options.directory.c_str(), 1);
  Report report;
  report.Say("seed " + std::to_string(options.seed) + ", " + std::to_string(options.minutes) +
             " min, in " + options.directory);
  {
    Rig rig(options, report);
    const Status status = Soak(rig);
    if (!status.ok()) report.Violation(status.message());
    if (report.failed()) ::setenv("TIDEMARK_KEEP", "1", 1);
  }
  if (report.failed()) {
    report.Say("FAILED: " + std::to_string(report.violations()) + " violations; seed " +
               std::to_string(options.seed) + "; everything is in " + options.directory);
    return 1;
  }
  std::filesystem::remove_all(options.directory);
  report.Say("no violation");
  return 0;
}

}  // namespace
}  // namespace tidemark::soak

int main(int argc, char** argv) { return tidemark::soak::Main(argc, argv); }
