#include "replication/base/file_system.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <vector>

#include "tests/support/temp_dir.h"

namespace tidemark {
namespace {

using testing::TempDir;

FileSystem& Files() { return PosixFileSystem(); }

TEST(ParentPath, OfEveryShape) {
  EXPECT_EQ(ParentPath("/a/b"), "/a");
  EXPECT_EQ(ParentPath("/a/b//"), "/a");
  EXPECT_EQ(ParentPath("/b"), "/");
  EXPECT_EQ(ParentPath("//"), "/");
  EXPECT_EQ(ParentPath("a/b"), "a");
  EXPECT_EQ(ParentPath("b"), ".");
  EXPECT_EQ(ParentPath(""), ".");
}

TEST(PosixFileSystem, AppendsAndReadsBackAndTruncates) {
  TempDir directory;
  const std::string path = directory.Path("file");
  auto file = Files().Open(path, OpenMode::kCreateNew);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->Append(AsBytes("hello world")).ok());
  ASSERT_TRUE((*file)->Truncate(5).ok());
  ASSERT_TRUE((*file)->Append(AsBytes("!")).ok());
  ASSERT_TRUE((*file)->DataSync().ok());
  EXPECT_EQ(*(*file)->Size(), 6u);
  uint8_t buffer[16];
  auto got = (*file)->ReadAt(3, buffer);
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(AsText({buffer, *got}), "lo!");
  EXPECT_EQ(*(*file)->ReadAt(100, buffer), 0u) << "behind the end is the end, not an error";
}

TEST(PosixFileSystem, WhatWasMadeDurableIsOnTheDiskWhateverItsSize) {
  TempDir directory;
  for (const size_t size :
       {size_t{0}, size_t{1}, size_t{4096}, size_t{1} << 20, (size_t{1} << 20) + 1}) {
    const std::string path = directory.Path("file" + std::to_string(size));
    auto file = Files().Open(path, OpenMode::kCreateNew);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->Append(AsBytes(std::string(size, 'x'))).ok());
    ASSERT_TRUE((*file)->DataSync().ok());
    EXPECT_TRUE(*(*file)->OnDisk()) << size;
  }
}

// A page that reads well and is not on the disk, as a failed fdatasync leaves it: here the disk is
// a file, and is changed behind the file system's back.
TEST(PosixFileSystem, WhatTheDiskDoesNotHaveIsNotOnDisk) {
  TempDir directory;
  const std::string image = directory.Path("image");
  const std::string mounted = directory.Path("mounted");
  const std::string make = "truncate -s 8M " + image + " && mkfs.ext4 -q -F " + image +
                           " && mkdir " + mounted + " && mount -o loop " + image + " " + mounted;
  if (std::system((make + " 2>/dev/null").c_str()) != 0)
    GTEST_SKIP() << "no loop mounts here: not tested that a page missing on the disk is noticed";
  const std::string text(3000, 'y');
  Result<bool> before = false;
  Result<bool> after = true;
  {
    auto file = Files().Open(mounted + "/file", OpenMode::kCreateNew);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->Append(AsBytes(text)).ok());
    ASSERT_TRUE((*file)->DataSync().ok());
    before = (*file)->OnDisk();
    std::fstream disk(image, std::ios::in | std::ios::out | std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(disk)), {});
    const size_t at = bytes.find(text);
    EXPECT_NE(at, std::string::npos);
    disk.clear();
    disk.seekp(static_cast<std::streamoff>(at + 1000));
    disk.put('n');
    disk.close();
    after = (*file)->OnDisk();
    std::vector<uint8_t> read(text.size());
    EXPECT_EQ((*file)->ReadAt(0, read).value(), text.size());
    EXPECT_EQ(AsText(read), text) << "it reads as if nothing had happened";
  }
  EXPECT_EQ(std::system(("umount " + mounted).c_str()), 0);
  EXPECT_TRUE(before.value());
  EXPECT_FALSE(after.value());
}

TEST(PosixFileSystem, LinkIsASecondNameAndNeverTakesOneThatIsThere) {
  TempDir directory;
  const std::string path = directory.Path("file"), second = directory.Path("second");
  ASSERT_TRUE(WriteSmallFileDurably(Files(), path, "hello").ok());
  ASSERT_TRUE(Files().Link(path, second).ok());
  EXPECT_EQ(*ReadSmallFile(Files(), second, 100), "hello");
  ASSERT_TRUE(WriteSmallFileDurably(Files(), path, "another").ok());  // a new file of that name
  EXPECT_EQ(*ReadSmallFile(Files(), second, 100), "hello");
  EXPECT_EQ(Files().Link(path, second).code(), Code::kIo);
  EXPECT_EQ(Files().Link(directory.Path("none"), directory.Path("third")).code(), Code::kNotFound);
  ASSERT_TRUE(Files().Remove(path).ok());
  EXPECT_EQ(*ReadSmallFile(Files(), second, 100), "hello");
}

TEST(PosixFileSystem, ErrorsNameThePathAndTheClass) {
  TempDir directory;
  const std::string path = directory.Path("absent");
  auto missing = Files().Open(path, OpenMode::kRead);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
  EXPECT_NE(missing.error().message().find(path), std::string::npos);
  ASSERT_TRUE(WriteSmallFileDurably(Files(), path, "x").ok());
  EXPECT_EQ(Files().Open(path, OpenMode::kCreateNew).error().code(), Code::kIo)
      << "kCreateNew must not reuse a file";
}

TEST(PosixFileSystem, DoesNotFollowASymbolicLinkNorOpenADevice) {
  TempDir directory;
  ASSERT_TRUE(WriteSmallFileDurably(Files(), directory.Path("target"), "x").ok());
  ASSERT_EQ(::symlink(directory.Path("target").c_str(), directory.Path("link").c_str()), 0);
  EXPECT_FALSE(Files().Open(directory.Path("link"), OpenMode::kRead).ok());
  EXPECT_FALSE(Files().Open("/dev/null", OpenMode::kRead).ok());
}

TEST(PosixFileSystem, CreatedDirectoriesAndFilesAreOursAlone) {
  TempDir directory;
  ASSERT_TRUE(Files().CreateDirectories(directory.Path("a/b/c")).ok());
  ASSERT_TRUE(WriteSmallFileDurably(Files(), directory.Path("a/b/c/file"), "secret").ok());
  struct stat info {};
  ASSERT_EQ(::stat(directory.Path("a/b").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  ASSERT_EQ(::stat(directory.Path("a/b/c/file").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST(PosixFileSystem, CreateDirectoriesRefusesANameThatIsAFile) {
  TempDir directory;
  ASSERT_TRUE(WriteSmallFileDurably(Files(), directory.Path("a"), "x").ok());
  EXPECT_FALSE(Files().CreateDirectories(directory.Path("a/b")).ok());
}

TEST(PosixFileSystem, ALockExcludesASecondHolderAndNamesItsPid) {
  TempDir directory;
  const std::string path = directory.Path("LOCK");
  EXPECT_EQ(Files().LockHolder(path), 0);
  {
    auto held = Files().Lock(path);
    ASSERT_TRUE(held.ok());
    EXPECT_EQ(Files().LockHolder(path), ::getpid());
    auto second = Files().Lock(path);
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().code(), Code::kLocked);
    EXPECT_NE(second.error().message().find(std::to_string(::getpid())), std::string::npos);
    EXPECT_EQ(Files().LockHolder(path), ::getpid()) << "asking and failing must not break the lock";
  }
  EXPECT_EQ(Files().LockHolder(path), 0);
  EXPECT_TRUE(Files().Lock(path).ok());
}

TEST(PosixFileSystem, ALockEndsWithItsProcess) {
  TempDir directory;
  const std::string path = directory.Path("LOCK");
  const pid_t child = ::fork();
  if (child == 0) ::_exit(Files().Lock(path).ok() ? 0 : 1);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  EXPECT_TRUE(Files().Lock(path).ok());
}

TEST(ReadSmallFile, RefusesAFileAboveItsLimit) {
  TempDir directory;
  ASSERT_TRUE(WriteSmallFileDurably(Files(), directory.Path("file"), "12345").ok());
  EXPECT_EQ(*ReadSmallFile(Files(), directory.Path("file"), 5), "12345");
  EXPECT_FALSE(ReadSmallFile(Files(), directory.Path("file"), 4).ok());
}

TEST(WriteSmallFileDurably, ReplacesAndSurvivesALeftoverTemporary) {
  TempDir directory;
  const std::string path = directory.Path("file");
  ASSERT_TRUE(WriteSmallFileDurably(Files(), path, "old").ok());
  ASSERT_TRUE(WriteSmallFileDurably(Files(), path + ".new", "left by a crash").ok());
  ASSERT_TRUE(WriteSmallFileDurably(Files(), path, "new").ok());
  EXPECT_EQ(*ReadSmallFile(Files(), path, 100), "new");
  EXPECT_FALSE(Files().Exists(path + ".new"));
}

}  // namespace
}  // namespace tidemark
