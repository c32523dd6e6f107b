// Tidemark's values as messages of tidemark.v1, and back: what a server sends is what a client
// prints. Pure.
//
// There and back again gives the same value, with two exceptions: names that are not UTF-8 come
// back with U+FFFD in them (statements do not), and of a transaction whose details are not known
// nothing is sent that is not known.
//
// FromMessage takes what another program sent: kCorruption if it cannot be such a value. Requests
// are read by it too; the services then say kUsage, see AsUsage.
#pragma once

#include "pitr/locator.h"
#include "pitr/place.h"
#include "pitr/planner.h"
#include "pitr/source_summary.h"
#include "pitr/timeline.h"
#include "pitr/verify.h"
#include "tidemark/v1/archive.pb.h"
#include "tidemark/v1/archive_service.pb.h"

namespace tidemark::rpc {

namespace v1 = tidemark::v1;

v1::Transaction ToMessage(const Located& located);
Result<Located> FromMessage(const v1::Transaction& message);

v1::Target ToMessage(const Target& target);
Result<Target> FromMessage(const v1::Target& message);  // one that is not set is an error

v1::Boundary ToMessage(const Boundary& boundary);
Result<Boundary> FromMessage(const v1::Boundary& message);

v1::Gap ToMessage(const GapRecord& gap);
Result<GapRecord> FromMessage(const v1::Gap& message);

v1::OperatorNote ToMessage(const OperatorNote& note);
OperatorNote FromMessage(const v1::OperatorNote& message);

v1::GapAcknowledgement ToMessage(const GapAcknowledgement& acknowledgement);
Result<GapAcknowledgement> FromMessage(const v1::GapAcknowledgement& message);

v1::Coverage ToMessage(const Coverage& coverage);
Result<Coverage> FromMessage(const v1::Coverage& message);

v1::Segment ToMessage(const SegmentRecord& segment, const std::string& path);
Result<SegmentRecord> FromMessage(const v1::Segment& message);

v1::Surgery ToMessage(const Surgery& surgery);
Result<Surgery> FromMessage(const v1::Surgery& message);

v1::LineageFork ToMessage(const LineageFork& fork);
Result<LineageFork> FromMessage(const v1::LineageFork& message);

v1::Lineage ToMessage(const Lineage& lineage);
Result<Lineage> FromMessage(const v1::Lineage& message);

v1::Plan ToMessage(const Plan& plan);
Result<Plan> FromMessage(const v1::Plan& message);

v1::SourceStatus ToMessage(const SourceSummary& summary, const std::optional<LiveState>& live);
struct SourceStatus {
  SourceSummary summary;
  std::optional<LiveState> live;
};
Result<SourceStatus> FromMessage(const v1::SourceStatus& message);

v1::GetTimelineResponse ToMessage(const Timeline& timeline);
Result<Timeline> FromMessage(const v1::GetTimelineResponse& message);

v1::LocateResponse ToMessage(const Neighbourhood& around);  // source and segment_path: the caller's
Result<Neighbourhood> FromMessage(const v1::LocateResponse& message);

v1::LocateRequest ToMessage(const Place& place);  // source: the caller's
Result<Place> FromMessage(const v1::LocateRequest& message);

v1::VerifyReport ToMessage(const VerifyReport& report);
Result<VerifyReport> FromMessage(const v1::VerifyReport& message);

// The same error as one of whoever asked: "invalid_argument" to a client.
Status AsUsage(const Status& error);

}  // namespace tidemark::rpc
