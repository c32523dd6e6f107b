// Files as they are found on disks: whole ones event by event, and what is no binary log of MySQL's
// by one clear error each.
#include "replication/source/binlog_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/binlog_builder.h"
#include "tests/support/memory_file_system.h"

namespace tidemark {
namespace {

using testing::BinlogBuilder;
using testing::BuilderGtid;
using testing::BuilderSet;
using ::testing::HasSubstr;

constexpr char kPath[] = "/found/binlog.000003";

std::string Log(uint32_t row_bytes = 16) {
  BinlogBuilder builder;
  builder.SetTime(1'700'000'000);
  builder.BeginFile(BuilderSet(1, 4));
  builder.Add({.gtid = BuilderGtid(5), .commit_us = 1'700'000'001'000'000, .row_bytes = row_bytes});
  builder.Rotate("binlog.000004");
  return builder.Take();
}

// Of its format description.
uint32_t HeadBytes(const std::string& log) {
  return ReadEventHeader(AsBytes(log).data() + kBinlogMagicSize).size;
}

std::vector<size_t> EventPlaces(const std::string& log) {
  std::vector<size_t> places;
  for (size_t at = kBinlogMagicSize; at < log.size();
       at += ReadEventHeader(AsBytes(log).data() + at).size)
    places.push_back(at);
  return places;
}

Status OpenError(const std::string& bytes) {
  MemoryFileSystem files;
  files.Put(kPath, bytes);
  auto file = BinlogFile::Open(files, kPath);
  return file.ok() ? OkStatus() : file.error();
}

TEST(BinlogFile, EventsAreGivenWholeAndInOrder) {
  MemoryFileSystem files;
  const std::string log = Log(3'000'000);  // an event longer than what is read at a time
  files.Put(kPath, log);
  auto file = BinlogFile::Open(files, kPath);
  ASSERT_TRUE(file.ok()) << file.error().message();
  EXPECT_EQ((*file)->previous(), BuilderSet(1, 4));
  EXPECT_EQ((*file)->server_id(), 7u);
  EXPECT_EQ((*file)->created(), 1'700'000'000u);
  EXPECT_EQ((*file)->bytes(), log.size());
  for (int pass = 0; pass < 2; ++pass) {
    std::string read(AsText(Bytes(kBinlogMagic)));
    for (;;) {
      const auto event = (*file)->Next();
      if (!event.ok()) {
        EXPECT_EQ(event.error().code(), Code::kEndOfData);
        break;
      }
      read += AsText(*event);
      EXPECT_EQ((*file)->position(), read.size());
    }
    EXPECT_TRUE(read == log);
    (*file)->Rewind();
  }
}

TEST(BinlogFile, CutAnywhereItIsTruncatedOrEndsBetweenEvents) {
  const std::string log = Log();
  size_t between = 0;
  for (size_t size = 0; size < log.size(); ++size) {
    MemoryFileSystem files;
    files.Put(kPath, log.substr(0, size));
    auto file = BinlogFile::Open(files, kPath);
    Status end = file.ok() ? OkStatus() : file.error();
    while (end.ok()) {
      const auto event = (*file)->Next();
      if (!event.ok()) end = event.error();
    }
    if (end.code() == Code::kEndOfData) {
      ++between;
      continue;
    }
    EXPECT_TRUE(end.code() == Code::kTruncated || end.code() == Code::kUnsupportedFormat)
        << size << ": " << end.message();
    EXPECT_THAT(end.message(), HasSubstr(kPath));
  }
  EXPECT_EQ(between, EventPlaces(log).size() - 2) << "behind Previous_gtids, and so on";
}

TEST(BinlogFile, ImpossibleSizesAreDamage) {
  const std::string log = Log();
  for (const uint32_t size : {0u, 18u, 0xFFFFFFFFu}) {
    MemoryFileSystem files;
    std::string bad = log;
    std::memcpy(&bad[EventPlaces(log).back() + 9], &size, 4);
    files.Put(kPath, bad);
    auto file = BinlogFile::Open(files, kPath);
    ASSERT_TRUE(file.ok());
    Status end;
    while (end.ok()) {
      const auto event = (*file)->Next();
      if (!event.ok()) end = event.error();
    }
    EXPECT_EQ(end.code(), Code::kCorruption) << size << ": " << end.message();
  }
}

TEST(BinlogFile, WhatIsNoBinaryLogOfMySqlSaysWhatItIs) {
  const std::string log = Log();
  const auto expect = [](const std::string& bytes, const std::string& what, Code code) {
    const Status error = OpenError(bytes);
    EXPECT_EQ(error.code(), code) << what;
    EXPECT_THAT(error.message(), HasSubstr(what));
    EXPECT_THAT(error.message(), HasSubstr(kPath));
    EXPECT_FALSE(error.hint().empty()) << what;
  };
  expect("", "is empty", Code::kTruncated);
  expect("\xfd" + log.substr(1), "encrypted", Code::kUnsupportedFormat);
  expect(std::string("\x1f\x8b\x08") + log, "gzip", Code::kUnsupportedFormat);
  expect(std::string("\x28\xb5\x2f\xfd") + log, "zstd", Code::kUnsupportedFormat);
  expect(std::string("\x50\x2a\x4d\x18") + log, "segment of an archive", Code::kUnsupportedFormat);
  expect("notes", "no binary log", Code::kUnsupportedFormat);
  expect(log.substr(0, 4) + log.substr(4 + HeadBytes(log)), "format description",
         Code::kUnsupportedFormat);

  std::string relay = log;
  relay[kBinlogMagicSize + 17] = 0x40;
  expect(relay, "relay log", Code::kUnsupportedFormat);
  std::string maria = log;
  maria.replace(kBinlogMagicSize + kEventHeaderSize + 2, 15, "10.6.16-MariaDB");
  expect(maria, "MariaDB", Code::kUnsupportedFormat);
  std::string flipped = log;
  flipped[kBinlogMagicSize + 60] ^= 1;
  expect(flipped, "wrong checksum", Code::kCorruption);
  // As of a server without GTIDs.
  const size_t second = kBinlogMagicSize + HeadBytes(log);
  const uint32_t previous_bytes = ReadEventHeader(AsBytes(log).data() + second).size;
  expect(log.substr(0, second) + log.substr(second + previous_bytes), "Previous_gtids",
         Code::kUnsupportedFormat);
}

}  // namespace
}  // namespace tidemark
