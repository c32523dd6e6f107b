// The archive's files, opened for reading beside the daemon, as commands ask about them.
#pragma once

#include <memory>
#include <string>

#include "pitr/archive_access.h"

namespace tidemark {

class LocalSource : public SourceAccess {
 public:
  explicit LocalSource(std::unique_ptr<ArchiveView> view) : view_(std::move(view)) {}

  const std::string& source() const override { return view_->source(); }
  Result<Coverage> ReadCoverage() override { return view_->ComputeCoverage(); }
  Result<std::set<Uuid>> ServerUuids() override;
  Result<std::vector<SegmentFile>> ListSegments() override;
  Result<Timeline> ReadTimeline(const TimelineRange& range) override;
  Result<FoundPlace> Locate(const Place& place) override;
  Result<Boundary> Resolve(const Target& target) override;
  Result<ProvedPlan> MakePlan(const Target& target, const GtidSet& base, const Surgery& surgery,
                              bool for_pipe) override;
  Result<Acknowledged> AcknowledgeGaps(const GapAcknowledgement& gaps) override {
    return tidemark::AcknowledgeGaps(*view_, gaps);
  }
  Status WriteEvents(const Boundary& until, const GtidSet& exclude, const GtidSet& only,
                     const EventStream::Sink& sink, StreamProgress* progress) override;
  Status WriteSourceFile(const std::string& file, const EventStream::Sink& sink,
                         bool* complete) override;
  OpenFeed feeds() const override;

 private:
  Status CheckEnd();

  // As of the opening, or of the first "latest".
  const std::unique_ptr<ArchiveView> view_;
  bool end_is_indexed_ = false;
};

class LocalArchive : public ArchiveAccess {
 public:
  // `source`: the one that is chosen; "": all, or the only one. `files` outlives the object.
  LocalArchive(FileSystem& files, std::string root, std::string source)
      : files_(files), root_(std::move(root)), source_(std::move(source)) {}

  const std::string& name() const override { return root_; }
  Result<std::vector<SourceState>> ReadStatus() override;
  Result<std::vector<std::string>> SourceNames() override;
  Result<VerifyReport> Verify(const std::string& source, const OnVerified& progress) override;
  Result<std::unique_ptr<SourceAccess>> OpenSource() override;

 private:
  FileSystem& files_;
  const std::string root_;
  const std::string source_;
};

}  // namespace tidemark
