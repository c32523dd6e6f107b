// Opening, locking, versions, damage; readers beside a writer, in this process and in another one.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "index/database.h"
#include "index/index.h"
#include "index/value_codec.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/index/index_records.h"

namespace tidemark {
namespace {

using namespace tidemark::testing;  // NOLINT(google-build-using-namespace)

constexpr const char* kPathVariable = "TIDEMARK_TEST_INDEX";

// Names and sizes of everything in the directory.
std::string Listing(const std::string& path) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    names.push_back(entry.path().filename().string() + " " + std::to_string(entry.file_size()));
  }
  std::sort(names.begin(), names.end());
  std::string all;
  for (const std::string& name : names) all += name + "\n";
  return all;
}

DurableBatch Batch(uint64_t segment) {
  const int64_t time = static_cast<int64_t>(segment) * 10;
  return MakeBatch("db1", segment, {MakeFrame(0, A(std::to_string(segment)), time, time, time)});
}
bool Holds(Index& index, uint64_t segment) {
  const auto found = index.FindGtid("db1", G(A(std::to_string(segment))));
  EXPECT_TRUE(found.has_value()) << found.error().message();
  return found.has_value() && found->has_value() && (*found)->segment == segment;
}

TEST(IndexOpen, ReadingWhereNothingIsSaysSoAndCreatesNothing) {
  const TempDir directory;
  const auto opened = Index::OpenForReading(directory.Path("index"));
  EXPECT_EQ(opened.error().code(), Code::kNotFound);
  EXPECT_NE(opened.error().hint().find("pitr index rebuild"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(directory.Path("index")));
}

TEST(IndexOpen, ASecondWriterInThisProcessIsRefused) {
  const TempDir directory;
  const auto first = Must(Index::OpenForWriting(directory.Path("index")));
  EXPECT_EQ(Index::OpenForWriting(directory.Path("index")).error().code(), Code::kLocked);
}

TEST(IndexOpen, AReaderCannotWrite) {
  const TempDir directory;
  const auto writer = Must(Index::OpenForWriting(directory.Path("index")));
  const auto reader = Must(Index::OpenForReading(directory.Path("index")));
  EXPECT_EQ(reader->Apply(Batch(1)).code(), Code::kUsage);
  EXPECT_EQ(reader->DropSegment("db1", 1).code(), Code::kUsage);
  EXPECT_EQ(reader->Flush().code(), Code::kUsage);
}

TEST(IndexOpen, AReaderSeesTheLogOfTheWriterAndRefreshesBeyondFlushes) {
  const TempDir directory;
  const auto writer = Must(Index::OpenForWriting(directory.Path("index")));
  ASSERT_TRUE(writer->Apply(Batch(1)).ok());
  const auto reader = Must(Index::OpenForReading(directory.Path("index")));
  EXPECT_TRUE(Holds(*reader, 1));
  ASSERT_TRUE(writer->Apply(Batch(2)).ok());
  EXPECT_FALSE(Holds(*reader, 2)) << "as of its opening";
  ASSERT_TRUE(reader->Refresh().ok());
  EXPECT_TRUE(Holds(*reader, 2));
  ASSERT_TRUE(writer->Flush().ok());
  ASSERT_TRUE(writer->Apply(Batch(3)).ok());
  ASSERT_TRUE(reader->Refresh().ok());
  for (const uint64_t segment : {1, 2, 3}) EXPECT_TRUE(Holds(*reader, segment));
  ASSERT_TRUE(writer->DropSegment("db1", 2).ok());
  ASSERT_TRUE(reader->Refresh().ok());
  EXPECT_FALSE(Holds(*reader, 2));
}

// A secondary that has a record from the log must not keep it when a newer one went to a file and
// nothing has come since.
TEST(IndexOpen, AReaderSeesWhatReplacedARecordAndWasFlushedAtOnce) {
  const TempDir directory;
  auto writer = Must(Index::OpenForWriting(directory.Path("index")));
  DurableBatch batch = Batch(1);
  ASSERT_TRUE(writer->Apply(batch).ok());
  const auto reader = Must(Index::OpenForReading(directory.Path("index")));
  for (uint64_t more = 1; more < 9; ++more) {
    batch.segment.raw_bytes += 100;
    ASSERT_TRUE(writer->Apply(batch).ok());
    if (more % 3 == 0) {
      ASSERT_TRUE(reader->Refresh().ok());
      batch.segment.raw_bytes += 100;
      ASSERT_TRUE(writer->Apply(batch).ok());
    }
    ASSERT_TRUE(writer->Flush().ok());
    if (more == 8) writer.reset();
    ASSERT_TRUE(reader->Refresh().ok());
    EXPECT_EQ(Must(reader->Segment("db1", 1))->raw_bytes, batch.segment.raw_bytes) << more;
  }
}

TEST(IndexOpen, AReaderOutlivesItsWriterAndFollowsTheNext) {
  const TempDir directory;
  auto writer = Must(Index::OpenForWriting(directory.Path("index")));
  ASSERT_TRUE(writer->Apply(Batch(1)).ok());
  const auto reader = Must(Index::OpenForReading(directory.Path("index")));
  for (uint64_t segment = 2; segment < 6; ++segment) {
    writer.reset();
    writer = Must(Index::OpenForWriting(directory.Path("index")));
    ASSERT_TRUE(writer->Apply(Batch(segment)).ok());
    ASSERT_TRUE(reader->Refresh().ok());
    EXPECT_TRUE(Holds(*reader, 1));
    EXPECT_TRUE(Holds(*reader, segment));
  }
}

TEST(IndexOpen, AReaderFollowsWhenAnotherIndexIsSwappedIn) {
  const TempDir directory;
  const std::string path = directory.Path("index");
  ASSERT_TRUE(Must(Index::OpenForWriting(path))->Apply(Batch(1)).ok());
  const auto reader = Must(Index::OpenForReading(path));
  ASSERT_TRUE(Must(Index::OpenForWriting(path + ".new"))->Apply(Batch(2)).ok());
  std::filesystem::rename(path, path + ".old");
  std::filesystem::rename(path + ".new", path);
  EXPECT_TRUE(Holds(*reader, 1)) << "the old one, still open";
  ASSERT_TRUE(reader->Refresh().ok());
  EXPECT_FALSE(Holds(*reader, 1));
  EXPECT_TRUE(Holds(*reader, 2));
}

TEST(IndexOpen, AReaderLeavesTheDirectoryAsItIs) {
  const TempDir directory;
  const auto writer = Must(Index::OpenForWriting(directory.Path("index")));
  ASSERT_TRUE(writer->Apply(Batch(1)).ok());
  ASSERT_TRUE(writer->Flush().ok());
  ASSERT_TRUE(writer->Apply(Batch(2)).ok());
  const std::string before = Listing(directory.Path("index"));
  {
    const auto reader = Must(Index::OpenForReading(directory.Path("index")));
    EXPECT_TRUE(Holds(*reader, 2));
    ASSERT_TRUE(reader->Refresh().ok());
    EXPECT_EQ(Listing(directory.Path("index")), before);
  }
  EXPECT_EQ(Listing(directory.Path("index")), before);
}

TEST(IndexOpen, AnIdleIndexIsSmall) {
  const TempDir directory;
  { ASSERT_TRUE(Must(Index::OpenForWriting(directory.Path("index")))->Apply(Batch(1)).ok()); }
  const auto reader = Must(Index::OpenForReading(directory.Path("index")));
  EXPECT_LT(Must(reader->SizeOnDisk()), 256u << 10) << Listing(directory.Path("index"));
}

TEST(IndexOpen, ANewerFormatIsRefusedToWritersAndReaders) {
  const TempDir directory;
  const std::string path = directory.Path("index");
  {
    const auto database = Must(Database::OpenPrimary(path));
    rocksdb::WriteBatch batch;
    ASSERT_TRUE(batch
                    .Put(database->Handle(Family::kMeta), "format",
                         EncodeMetaFormat(kIndexFormatVersion + 1))
                    .ok());
    ASSERT_TRUE(database->Write(&batch).ok());
  }
  EXPECT_EQ(Index::OpenForWriting(path).error().code(), Code::kUnsupportedFormat);
  EXPECT_EQ(Index::OpenForReading(path).error().code(), Code::kUnsupportedFormat);
}

TEST(IndexOpen, AFamilyOfTheFutureIsRefusedToWriters) {
  const TempDir directory;
  const std::string path = directory.Path("index");
  Must(Index::OpenForWriting(path)).reset();
  rocksdb::DB* db = nullptr;
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  for (size_t i = 0; i < kFamilyCount; ++i) {
    families.emplace_back(FamilyName(static_cast<Family>(i)), rocksdb::ColumnFamilyOptions());
  }
  families.emplace_back("tide", rocksdb::ColumnFamilyOptions());
  rocksdb::DBOptions options;
  options.create_missing_column_families = true;
  ASSERT_TRUE(rocksdb::DB::Open(options, path, families, &handles, &db).ok());
  for (rocksdb::ColumnFamilyHandle* handle : handles) {
    ASSERT_TRUE(db->DestroyColumnFamilyHandle(handle).ok());
  }
  delete db;
  const auto opened = Index::OpenForWriting(path);
  EXPECT_EQ(opened.error().code(), Code::kUnsupportedFormat);
  EXPECT_NE(opened.error().message().find("'tide'"), std::string::npos);
}

void ExpectRebuildHint(const Status& status) {
  EXPECT_EQ(status.code(), Code::kCorruption) << status.message();
  EXPECT_NE(status.hint().find("pitr index rebuild"), std::string::npos);
}

TEST(IndexOpen, ADamagedTableFileIsCorruptionWithTheHintToRebuild) {
  const TempDir directory;
  const std::string path = directory.Path("index");
  {
    const auto writer = Must(Index::OpenForWriting(path));
    for (uint64_t segment = 1; segment < 50; ++segment)
      ASSERT_TRUE(writer->Apply(Batch(segment)).ok());
  }
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    if (entry.path().extension() != ".sst") continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(10);
    file.write("damage", 6);
  }
  auto reader = Index::OpenForReading(path);
  ExpectRebuildHint(reader.has_value() ? (*reader)->FindGtid("db1", G(A("7"))).error()
                                       : reader.error());
}

TEST(IndexOpen, AMissingTableFileIsAnErrorAtOpeningAndNotAnEmptyAnswer) {
  const TempDir directory;
  const std::string path = directory.Path("index");
  ASSERT_TRUE(Must(Index::OpenForWriting(path))->Apply(Batch(1)).ok());
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    if (entry.path().extension() == ".sst") std::filesystem::remove(entry.path());
  }
  EXPECT_FALSE(Index::OpenForReading(path).has_value());
  EXPECT_FALSE(Index::OpenForWriting(path).has_value());
}

TEST(IndexOpen, RocksErrorsBecomeOurs) {
  EXPECT_EQ(FromRocks(rocksdb::Status::NoSpace("x"), "p").code(), Code::kDiskFull);
  EXPECT_EQ(FromRocks(rocksdb::Status::IOError("x"), "p").code(), Code::kIo);
  ExpectRebuildHint(FromRocks(rocksdb::Status::Corruption("x"), "p"));
  EXPECT_TRUE(FromRocks(rocksdb::Status::OK(), "p").ok());
}

// While one thread writes and flushes as fast as it can, readers open and refresh: what they see is
// always a beginning of what was written, without a hole, and never less than before.
TEST(IndexOpen, ReadersBesideABusyWriterSeeABeginningWithoutHoles) {
  constexpr uint64_t kBatches = 400;
  const TempDir directory;
  const std::string path = directory.Path("index");
  const auto writer = Must(Index::OpenForWriting(path));
  std::atomic<uint64_t> written = 0;
  std::thread writing([&] {
    for (uint64_t segment = 1; segment <= kBatches; ++segment) {
      ASSERT_TRUE(writer->Apply(Batch(segment)).ok());
      written = segment;
      if (segment % 3 == 0) {
        ASSERT_TRUE(writer->Flush().ok());
      }
    }
  });
  auto holds_all_up_to = [](Index& index, uint64_t at_least) {
    const auto segments = index.Segments("db1");
    ASSERT_TRUE(segments.has_value()) << segments.error().message();
    ASSERT_GE(segments->size(), at_least);
    for (uint64_t i = 0; i < segments->size(); ++i) {
      ASSERT_EQ((*segments)[i].header.number, i + 1);
      if (i % 7 == 0) {
        ASSERT_TRUE(Holds(index, i + 1)) << i + 1;
      }
    }
  };
  while (written == 0) std::this_thread::yield();
  auto reader = Must(Index::OpenForReading(path));
  for (int round = 0; written < kBatches; ++round) {
    const uint64_t at_least = written;
    if (round % 4 == 0) {
      reader = Must(Index::OpenForReading(path));
    } else {
      ASSERT_TRUE(reader->Refresh().ok());
    }
    holds_all_up_to(*reader, at_least);
    if (HasFatalFailure()) break;
  }
  writing.join();
  ASSERT_TRUE(reader->Refresh().ok());
  holds_all_up_to(*reader, kBatches);
}

// Runs in a process of its own: see the next test.
TEST(IndexOpen, DISABLED_OtherProcess) {
  const char* path = std::getenv(kPathVariable);
  ASSERT_NE(path, nullptr);
  const auto reader = Must(Index::OpenForReading(path));
  EXPECT_TRUE(Holds(*reader, 1)) << "in a table file";
  EXPECT_TRUE(Holds(*reader, 2)) << "in the writer's log alone";
  EXPECT_EQ(Index::OpenForWriting(path).error().code(), Code::kLocked);
}

TEST(IndexOpen, AnotherProcessReadsBesideTheWriterAndIsRefusedToWrite) {
  const TempDir directory;
  const auto writer = Must(Index::OpenForWriting(directory.Path("index")));
  ASSERT_TRUE(writer->Apply(Batch(1)).ok());
  ASSERT_TRUE(writer->Flush().ok());
  ASSERT_TRUE(writer->Apply(Batch(2)).ok());
  const std::string program = std::filesystem::read_symlink("/proc/self/exe");
  ProgramOptions options;
  options.env = {{kPathVariable, directory.Path("index")}};
  const ProgramResult result =
      Must(RunProgram({program, "--gtest_filter=IndexOpen.DISABLED_OtherProcess",
                       "--gtest_also_run_disabled_tests"},
                      options));
  EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
  EXPECT_NE(result.out.find("[  PASSED  ] 1 test"), std::string::npos) << result.out;
}

}  // namespace
}  // namespace tidemark
