// The archive on real small file systems of the test's own: full, out of inodes, suddenly
// read-only. The daemon says so, stays, and goes on by itself where it can; nothing is lost.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "replication/archive/segment_reader.h"
#include "tests/e2e/rpc_fixture.h"
#include "tests/support/metrics_text.h"

namespace tidemark {
namespace {

using testing::Curled;
using testing::ExecutedOn;
using ::testing::HasSubstr;
using testing::Load;
using testing::MetricsPage;
using testing::MySqlServer;
using testing::RpcDaemon;
using testing::RunProgram;
using testing::StartPrimary;
using testing::TempDir;
using testing::WaitUntil;

constexpr uint64_t kMiB = 1 << 20;

bool Succeeds(const std::vector<std::string>& command) {
  const auto ran = RunProgram(command);
  return ran.ok() && ran->exit_code == 0;
}

// A file system for one test, gone with it.
class SmallDisk {
 public:
  ~SmallDisk() { (void)::umount2(path_.c_str(), MNT_DETACH); }
  // False: not permitted here, or no such tool.
  bool Tmpfs(const std::string& options) {
    return ::mount("tmpfs", path_.c_str(), "tmpfs", 0, options.c_str()) == 0;
  }
  bool Ext4(uint64_t mib) {
    if (::truncate(Image().c_str(), 0) != 0 && !std::ofstream(Image())) return false;
    if (::truncate(Image().c_str(), static_cast<off_t>(mib * kMiB)) != 0) return false;
    return Succeeds({"mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", Image()}) && MountExt4();
  }
  bool MountExt4() { return Succeeds({"mount", "-o", "loop,errors=remount-ro", Image(), path_}); }
  bool Unmount() {
    return WaitUntil([this] { return ::umount2(path_.c_str(), 0) == 0; }, 10'000);
  }
  bool Check() {
    return Succeeds({"e2fsck", "-p", "-f", Image()}) || Succeeds({"e2fsck", "-y", "-f", Image()});
  }
  // The kernel's own way to try what an error of the file system does.
  bool BreakExt4() {
    const std::string source = Source();
    std::ofstream trigger("/sys/fs/ext4/" + source.substr(source.rfind('/') + 1) +
                          "/trigger_fs_error");
    return static_cast<bool>(trigger << "test" << std::flush);
  }

  // Somebody else takes all there is, but for `left`.
  void Fill(uint64_t left = 0) {
    const int filler = ::open(Filler().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ASSERT_GE(filler, 0);
    const std::string block(64 << 10, 'x');
    for (size_t size = block.size(); size >= 1; size /= 4)
      while (::write(filler, block.data(), size) > 0) {
      }
    struct stat info {};
    ASSERT_EQ(::fstat(filler, &info), 0);
    ASSERT_EQ(::ftruncate(filler, info.st_size - static_cast<off_t>(left)), 0);
    ::close(filler);
  }
  void Free() { std::filesystem::remove(Filler()); }
  void TakeInodes() {
    std::filesystem::create_directories(path_ + "/many");
    for (int i = 0;; ++i)
      if (!std::ofstream(path_ + "/many/" + std::to_string(i))) return;
  }
  void GiveInodesBack() { std::filesystem::remove_all(path_ + "/many"); }

  const std::string& path() const { return path_; }
  std::string archive() const { return path_ + "/archive"; }

 private:
  std::string Image() const { return directory_.Path("image"); }
  std::string Filler() const { return path_ + "/filler"; }
  std::string Source() const {
    std::ifstream mounts("/proc/mounts");
    for (std::string source, target, rest; mounts >> source >> target; std::getline(mounts, rest))
      if (target == path_) return source;
    return {};
  }

  TempDir directory_{"tidemark-disk"};
  std::string path_ = [this] {
    std::filesystem::create_directories(directory_.Path("mounted"));
    return directory_.Path("mounted");
  }();
};

class DiskTest : public ::testing::Test {
 protected:
  void Begin(const std::string& settings = "space_reserve_mib = 8\n") {
    primary_ = StartPrimary();
    ASSERT_NE(primary_, nullptr);
    daemon_ = std::make_unique<RpcDaemon>(disk_.archive());
    daemon_->ConfigureArchive(settings);
    daemon_->Rpc("metrics_anonymous = true");
    daemon_->Begin(*primary_);
  }
  uint64_t ReserveBytes() {
    std::error_code error;
    const auto size = std::filesystem::file_size(disk_.archive() + "/reserve", error);
    return error ? 0 : size;
  }
  double Metric(const std::string& name) {
    const Curled page = daemon_->Page("/metrics");
    return page.http == 200 && MetricsPage(page.body).Has(name) ? MetricsPage(page.body).Value(name)
                                                                : -1;
  }
  bool WaitForMetric(const std::string& name, double value) {
    return WaitUntil([&] { return Metric(name) == value; }, testing::kPatienceMs);
  }
  std::string ErrorMessage() {
    const nlohmann::json status = daemon_->Status();
    if (!status.is_object() || !status["daemon"].contains("error")) return {};
    return status["daemon"]["error"]["message"].get<std::string>() + "; " +
           status["daemon"]["error"]["hint"].get<std::string>();
  }
  // What a remote caller is told that the archive has.
  GtidSet Announced() {
    const auto ran = RunProgram({testing::Binary("pitr"), "--server", "unix:" + daemon_->socket(),
                                 "--json", "--source", "main", "status"});
    EXPECT_TRUE(ran.ok() && ran->exit_code == 0) << (ran.ok() ? ran->err : ran.error().message());
    if (!ran.ok() || ran->exit_code != 0) return {};
    const auto json = nlohmann::json::parse(ran->out, nullptr, false);
    return *GtidSet::Parse(json["sources"][0]["coverage"]["archived"].get<std::string>());
  }
  void ExpectSealed() {
    for (const std::string& path : daemon_->Segments()) {
      const auto reader = SegmentReader::Open(PosixFileSystem(), path);
      ASSERT_TRUE(reader.ok()) << reader.error().message();
      EXPECT_TRUE((*reader)->sealed()) << path;
    }
  }
  void ExpectWhole() {
    ASSERT_TRUE(primary_->Execute("FLUSH BINARY LOGS; CREATE DATABASE last").ok());
    ASSERT_TRUE(daemon_->WaitFor(ExecutedOn(*primary_))) << daemon_->LogTail();
    EXPECT_EQ(daemon_->Stop(), 0) << daemon_->LogTail();
    daemon_->ExpectVerified();
    daemon_->ExpectFilesExact(*primary_);
  }

  SmallDisk disk_;
  std::unique_ptr<MySqlServer> primary_;
  std::unique_ptr<RpcDaemon> daemon_;
};

constexpr char kReserve[] = "tidemark_space_reserve_bytes";
constexpr char kDiskFull[] = "tidemark_source_error{source=\"main\",code=\"disk-full\"}";

class FullDisk : public DiskTest, public ::testing::WithParamInterface<const char*> {
 protected:
  bool Mount() {
    return GetParam() == std::string("ext4") ? disk_.Ext4(64) : disk_.Tmpfs("size=64m");
  }
};

TEST_P(FullDisk, FilledUnderLoadItSealsSaysSoAndGoesOnByItselfWhenThereIsRoom) {
  NEEDS_CURL();
  if (!Mount()) GTEST_SKIP() << "no " << GetParam() << " can be mounted here: nothing was tested";
  ASSERT_NO_FATAL_FAILURE(Begin());
  EXPECT_EQ(ReserveBytes(), 8 * kMiB);
  EXPECT_EQ(Metric(kReserve), 8 * kMiB);
  const pid_t pid = daemon_->process().pid();
  Load load(*primary_, 2);
  ASSERT_TRUE(load.WaitForCommits(200));
  ASSERT_NO_FATAL_FAILURE(disk_.Fill());
  ASSERT_TRUE(daemon_->WaitForError("disk-full")) << daemon_->LogTail();
  EXPECT_TRUE(WaitForMetric(kReserve, 0)) << "that is the alert";
  EXPECT_TRUE(WaitForMetric(kDiskFull, 1));
  EXPECT_TRUE(WaitForMetric("tidemark_source_state{source=\"main\",state=\"waiting\"}", 1));
  EXPECT_EQ(ReserveBytes(), 0u);
  EXPECT_THAT(ErrorMessage(), HasSubstr("free"));
  EXPECT_EQ(daemon_->Page("/healthz").http, 200);
  ExpectSealed();
  EXPECT_EQ(Announced(), daemon_->Archived());
  daemon_->ExpectVerified();

  // Room for the reserve alone would be eaten by archiving.
  disk_.Free();
  ASSERT_NO_FATAL_FAILURE(disk_.Fill(10 * kMiB));
  // (Meanwhile there was room for more: what came of that is over when the reserve is given up.)
  ASSERT_TRUE(daemon_->WaitForError("disk-full")) << daemon_->LogTail();
  ASSERT_TRUE(WaitUntil(
      [&] { return ReserveBytes() == 0 && ErrorMessage().find("given up") != std::string::npos; },
      testing::kPatienceMs))
      << ErrorMessage();
  // What it said may be of the first time still, and the room between be used up only now.
  GtidSet before;
  EXPECT_TRUE(WaitUntil(
      [&] {
        before = daemon_->Archived();
        return load.WaitForCommits(500) && daemon_->Archived() == before;
      },
      testing::kPatienceMs));

  // The reserve is not needed to come up on a full disk either.
  daemon_->Kill9();
  disk_.Free();
  ASSERT_NO_FATAL_FAILURE(disk_.Fill());
  daemon_->Start();
  ASSERT_TRUE(daemon_->WaitForError("disk-full")) << daemon_->LogTail();
  ASSERT_TRUE(WaitForMetric(kDiskFull, 1)) << daemon_->LogTail();
  EXPECT_EQ(Announced(), before);
  EXPECT_NE(daemon_->process().pid(), pid);
  const pid_t last = daemon_->process().pid();

  disk_.Free();
  load.Stop();
  ASSERT_TRUE(daemon_->WaitFor(ExecutedOn(*primary_))) << daemon_->LogTail();
  EXPECT_TRUE(daemon_->Running());
  EXPECT_EQ(daemon_->process().pid(), last);
  EXPECT_EQ(ReserveBytes(), 8 * kMiB);
  EXPECT_TRUE(WaitForMetric(kReserve, 8 * kMiB));
  EXPECT_TRUE(WaitForMetric("tidemark_source_up{source=\"main\"}", 1));
  ExpectWhole();
}

INSTANTIATE_TEST_SUITE_P(On, FullDisk, ::testing::Values("tmpfs", "ext4"));

// The reserve was never there: it is made when there is room, and nothing waits for it before.
TEST_F(DiskTest, WithoutRoomForTheReserveItArchivesAllTheSame) {
  NEEDS_CURL();
  if (!disk_.Tmpfs("size=24m")) GTEST_SKIP() << "no tmpfs can be mounted here: nothing was tested";
  ASSERT_NO_FATAL_FAILURE(Begin("space_reserve_mib = 64\n"));
  EXPECT_EQ(Metric(kReserve), 0) << "that is an alert, too";
  ASSERT_TRUE(Succeeds({"mount", "-o", "remount,size=200m", disk_.path()}));
  EXPECT_TRUE(WaitForMetric(kReserve, 64 * kMiB));
  ExpectWhole();
}

// Killed with an open segment, and nothing to give up: it can neither seal it nor tell the index.
TEST_F(DiskTest, WithoutAReserveItComesUpOnAFullDiskAndWaits) {
  NEEDS_CURL();
  if (!disk_.Tmpfs("size=64m")) GTEST_SKIP() << "no tmpfs can be mounted here: nothing was tested";
  ASSERT_NO_FATAL_FAILURE(Begin("space_reserve_mib = 0\n"));
  {
    Load load(*primary_, 2);
    ASSERT_TRUE(load.WaitForCommits(200));
    const GtidSet executed = ExecutedOn(*primary_);
    ASSERT_TRUE(daemon_->WaitFor(executed)) << daemon_->LogTail();
    daemon_->Kill9();
  }
  ASSERT_NO_FATAL_FAILURE(disk_.Fill());
  daemon_->Start();
  ASSERT_TRUE(WaitForMetric("tidemark_source_state{source=\"main\",state=\"cannot-start\"}", 1))
      << daemon_->LogTail();
  EXPECT_TRUE(WaitForMetric(kDiskFull, 1));
  EXPECT_EQ(Metric(kReserve), -1) << "none is wanted";
  EXPECT_FALSE(Announced().empty());
  disk_.Free();
  ASSERT_TRUE(daemon_->WaitFor(ExecutedOn(*primary_))) << daemon_->LogTail();
  ExpectWhole();
}

TEST_F(DiskTest, OutOfInodesIsAFullDisk) {
  NEEDS_CURL();
  if (!disk_.Tmpfs("size=64m,nr_inodes=300"))
    GTEST_SKIP() << "no tmpfs can be mounted here: nothing was tested";
  ASSERT_NO_FATAL_FAILURE(Begin());
  Load load(*primary_, 2);
  ASSERT_TRUE(load.WaitForCommits(200));
  disk_.TakeInodes();
  ASSERT_TRUE(primary_->Execute("FLUSH BINARY LOGS; CREATE DATABASE d").ok());
  ASSERT_TRUE(daemon_->WaitForError("disk-full")) << daemon_->LogTail();
  EXPECT_TRUE(WaitForMetric(kReserve, 0));
  EXPECT_TRUE(daemon_->Running());
  (void)Announced();
  ASSERT_TRUE(load.WaitForCommits(200));
  disk_.GiveInodesBack();
  load.Stop();
  ASSERT_TRUE(daemon_->WaitFor(ExecutedOn(*primary_))) << daemon_->LogTail();
  EXPECT_EQ(ReserveBytes(), 8 * kMiB);
  ExpectWhole();
}

// A file system cannot be remounted read-only while a file is open for writing. So it is a
// read-only mount of the same directory, over it: nothing new can be made, renamed or opened for
// writing; what is open can be written to its end.
TEST_F(DiskTest, ReadOnlyUnderLoadItSaysSoAndGoesOnByItselfWhenItIsWritableAgain) {
  NEEDS_CURL();
  if (!disk_.Tmpfs("size=256m")) GTEST_SKIP() << "no tmpfs can be mounted here: nothing was tested";
  ASSERT_NO_FATAL_FAILURE(Begin());
  const std::string archive = disk_.archive();
  Load load(*primary_, 2);
  ASSERT_TRUE(load.WaitForCommits(200));
  for (int round = 0; round < 3; ++round) {
    SCOPED_TRACE(round);
    ASSERT_EQ(::mount(archive.c_str(), archive.c_str(), nullptr, MS_BIND, nullptr), 0);
    ASSERT_EQ(::mount(nullptr, archive.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr),
              0);
    ASSERT_TRUE(primary_->Execute("FLUSH BINARY LOGS").ok());
    ASSERT_TRUE(WaitForMetric("tidemark_source_error{source=\"main\",code=\"io\"}", 1))
        << daemon_->LogTail();
    EXPECT_EQ(Metric(kReserve), 8 * kMiB) << "room is not what is lacking";
    EXPECT_TRUE(daemon_->Running());
    EXPECT_THAT(daemon_->LogTail(), HasSubstr("Read-only file system"));
    const GtidSet announced = Announced();
    ASSERT_TRUE(load.WaitForCommits(100));
    ASSERT_EQ(::umount2(archive.c_str(), MNT_DETACH), 0);
    ASSERT_TRUE(daemon_->WaitFor(ExecutedOn(*primary_))) << daemon_->LogTail();
    EXPECT_TRUE(announced.IsSubsetOf(daemon_->Archived()));
    EXPECT_TRUE(WaitForMetric("tidemark_source_up{source=\"main\"}", 1));
  }
  load.Stop();
  ExpectWhole();
}

// What ext4 does after an error of its own. Such a file system can only be unmounted, and the
// daemon has to be stopped for that. What was only in the page cache is gone.
TEST_F(DiskTest, Ext4ThatTurnsReadOnlyHasAllThatWasAnnounced) {
  NEEDS_CURL();
  if (!disk_.Ext4(128)) GTEST_SKIP() << "no ext4 can be mounted here: nothing was tested";
  ASSERT_NO_FATAL_FAILURE(Begin());
  Load load(*primary_, 4);
  ASSERT_TRUE(load.WaitForCommits(500));
  ASSERT_TRUE(daemon_->WaitFor(ExecutedOn(*primary_))) << daemon_->LogTail();
  if (!disk_.BreakExt4()) GTEST_SKIP() << "this kernel does not let ext4 be broken";
  ASSERT_TRUE(WaitForMetric("tidemark_source_error{source=\"main\",code=\"io\"}", 1))
      << daemon_->LogTail();
  EXPECT_TRUE(daemon_->Running());
  EXPECT_EQ(daemon_->Page("/healthz").http, 200);
  EXPECT_THAT(daemon_->LogTail(), HasSubstr("Read-only file system"));
  EXPECT_THAT(daemon_->LogTail(), HasSubstr("writable again"));
  ASSERT_TRUE(load.WaitForCommits(100));
  const GtidSet announced = Announced();
  EXPECT_FALSE(announced.empty());
  daemon_->Kill9();
  load.Stop();
  ASSERT_TRUE(disk_.Unmount());
  ASSERT_TRUE(disk_.Check());
  ASSERT_TRUE(disk_.MountExt4());

  // The segments alone say what there is.
  EXPECT_EQ(daemon_->Pitr({"index", "rebuild"}).exit_code, 0);
  EXPECT_EQ(announced.Minus(daemon_->Archived()), GtidSet());
  daemon_->Start();
  ASSERT_TRUE(daemon_->WaitFor(ExecutedOn(*primary_))) << daemon_->LogTail();
  ExpectWhole();
}

}  // namespace
}  // namespace tidemark
