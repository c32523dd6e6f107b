// A made-up source and its archive, with the answers a look-up must give. For the tests of this
// folder.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "pitr/archive_view.h"
#include "tests/support/archive_builder.h"
#include "tests/support/temp_dir.h"

namespace tidemark::testing {

struct KnownTransaction {
  Gtid gtid;
  int64_t commit_us = 0;
  GtidSet before;  // gtid_executed right before it
  uint64_t segment = 0;
  std::string file;
  uint64_t begin = 0;  // in file
  uint64_t end = 0;
};

class History {
 public:
  static constexpr int64_t kStartUs = 1'790'000'000'000'000;

  explicit History(ArchiveBuilder::Options options = {})
      : builder(dir.path(), "main", options), now_us(kStartUs) {}

  void BeginFile(const std::string& name) {
    builder.BeginFile(name);
    file = name;
  }
  // The next number in the sequence, one millisecond later, unless the spec says otherwise.
  KnownTransaction& Add(TransactionSpec spec = {}) {
    KnownTransaction known;
    if (spec.gtid.gno == 0) spec.gtid = BuilderGtid(next++);
    if (spec.commit_us == 0) spec.commit_us = now_us += 1000;
    known.gtid = spec.gtid;
    known.commit_us = spec.commit_us;
    known.before = builder.set();
    known.file = file;
    builder.Add(spec);
    known.segment = builder.segment_number();
    known.end = builder.FileBytes(file).size();
    known.begin = known.end - last_size(known.end);
    all.push_back(known);
    return all.back();
  }
  void AddMany(int count, TransactionSpec spec = {}) {
    for (int i = 0; i < count; ++i) {
      spec.gtid = {};
      spec.commit_us = 0;
      Add(spec);
    }
  }
  void Gap(int64_t transactions, const std::string& reason = "the source had purged them") {
    GtidSet missing = BuilderSet(next, next + transactions - 1);
    next += transactions;
    builder.Gap(missing, reason);
  }
  std::string BytesOf(const KnownTransaction& known) const {
    return builder.FileBytes(known.file).substr(known.begin, known.end - known.begin);
  }
  std::unique_ptr<ArchiveView> Open(OpenCheck check = OpenCheck::kStrict) {
    auto view = ArchiveView::Open(PosixFileSystem(), dir.path(), "main", check);
    EXPECT_TRUE(view.ok()) << view.error().message();
    return view.ok() ? std::move(*view) : nullptr;
  }

  TempDir dir;
  ArchiveBuilder builder;
  std::vector<KnownTransaction> all;
  std::string file;
  int64_t now_us;
  int64_t next = 1;

 private:
  // Its Gtid event tells: transaction_length stands behind the commit time (binlog_builder.cc).
  uint64_t last_size(uint64_t end) const {
    const std::string& bytes = builder.FileBytes(file);
    uint64_t begin = all.empty() || all.back().file != file ? 0 : all.back().end;
    if (begin == 0) {  // behind magic, format description and Previous_gtids
      begin = kBinlogMagicSize;
      for (int i = 0; i < 2; ++i) {
        begin += ReadEventHeader(AsBytes(bytes).subspan(begin).data()).size;
      }
    }
    return end - begin;
  }
};

}  // namespace tidemark::testing
