#include "pitr/restore/machine.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/temp_dir.h"

namespace tidemark {
namespace {

class MachineTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_.Path(name)).parent_path());
    std::ofstream(root_.Path(name)) << text;
  }
  uint64_t Available() { return MeasureMachine(root_.path()).available_bytes; }

  testing::TempDir root_;
};

TEST_F(MachineTest, AvailableMemoryIsInKibibytes) {
  Write("proc/meminfo", "MemTotal:       24684096 kB\nMemAvailable:   23000000 kB\n");
  EXPECT_EQ(Available(), 23000000ULL * 1024);
}

TEST_F(MachineTest, NothingKnownIsNothingAvailable) {
  EXPECT_EQ(Available(), 0U);
  Write("proc/meminfo", "MemAvailable:\n");
  EXPECT_EQ(Available(), 0U);
}

TEST_F(MachineTest, TheLowestLimitUpToTheRootHolds) {
  Write("proc/meminfo", "MemAvailable: 8000000 kB\n");
  Write("proc/self/cgroup", "0::/system.slice/tidemark.service\n");
  Write("sys/fs/cgroup/system.slice/tidemark.service/memory.max", "max\n");
  EXPECT_EQ(Available(), 8000000ULL * 1024);
  Write("sys/fs/cgroup/system.slice/memory.max", "2000000000\n");
  EXPECT_EQ(Available(), 2000000000U);
  Write("sys/fs/cgroup/system.slice/tidemark.service/memory.high", "1500000000\n");
  EXPECT_EQ(Available(), 1500000000U);
}

TEST_F(MachineTest, VersionOneLimitsHoldAlsoWhereTheMountIsTheGroup) {
  Write("proc/meminfo", "MemAvailable: 8000000 kB\n");
  Write("proc/self/cgroup", "5:cpu,cpuacct:/docker/x\n4:hugetlb,memory:/docker/x\n");
  Write("sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(Available(), 8000000ULL * 1024);
  Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n");
  EXPECT_EQ(Available(), 1073741824U);
}

TEST_F(MachineTest, BufferPoolIsHalfWithinItsBounds) {
  const auto pool = [](uint64_t available) { return BufferPoolBytes({1, available}); };
  EXPECT_EQ(pool(0), kBufferPoolBytesMin);
  EXPECT_EQ(pool(300ULL << 20), kBufferPoolBytesMin);
  EXPECT_EQ(pool(8ULL << 30), 4ULL << 30);
  EXPECT_EQ(pool((8ULL << 30) + (255ULL << 20)), 4ULL << 30);  // whole steps, rounded down
  EXPECT_EQ(pool(1ULL << 42), kBufferPoolBytesMax);
}

TEST_F(MachineTest, WorkersAreTwoACoreWithinTheirBounds) {
  EXPECT_EQ(ApplierWorkers({1, 0}), 4U);
  EXPECT_EQ(ApplierWorkers({3, 0}), 6U);
  EXPECT_EQ(ApplierWorkers({64, 0}), 16U);
}

}  // namespace
}  // namespace tidemark
