#include "replication/source/candidates.h"

#include <algorithm>

namespace tidemark {
namespace {

class Choice {
 public:
  Choice(const std::vector<Candidate>& candidates, const ArchivedSoFar& archived)
      : candidates_(candidates), archived_(archived), ours_(archived.archived()) {}

  Result<size_t> Make() {
    for (const Candidate& one : candidates_)
      if (current_ == nullptr && one.answers() && one.server_uuid == archived_.server_uuid)
        current_ = &one;
    if (IsOneServer()) return size_t{0};
    TM_ASSIGN_OR_RETURN(const Candidate* primary, Primary());
    if (primary == nullptr) {
      if (current_ == nullptr || !current_->Lacks(ours_).empty()) return NobodyYet();
      primary = current_;
    } else if (current_ != nullptr && CurrentIsNeeded(*primary)) {
      primary = current_;
    }
    return static_cast<size_t>(primary - candidates_.data());
  }

 private:
  // Under several addresses: there is no choice, whatever it is.
  bool IsOneServer() const {
    return std::all_of(candidates_.begin(), candidates_.end(), [this](const Candidate& one) {
      return one.answers() && one.server_uuid == candidates_.front().server_uuid;
    });
  }

  // One that writes, or of which we do not know that it does not, comes before who replicates from
  // it.
  bool MayBeAhead(const Candidate& other) const { return !other.answers() || other.writable; }

  bool ReplicatesFromOneOfThem(const Candidate& candidate) const {
    for (const Candidate::Upstream& upstream : candidate.upstreams) {
      const Candidate* found = nullptr;
      for (const Candidate& other : candidates_)
        if (&other != &candidate &&
            (upstream.server == other.name ||
             (other.answers() && upstream.server_uuid == other.server_uuid)))
          found = &other;
      if (found != nullptr && MayBeAhead(*found)) return true;
      if (found == nullptr && upstream.server_uuid && current_ == nullptr &&
          upstream.server_uuid == archived_.server_uuid)
        return true;  // it does not answer, whatever its name is
    }
    return false;
  }

  bool IsPrimary(const Candidate& candidate) const {
    return candidate.answers() && candidate.writable && !ReplicatesFromOneOfThem(candidate);
  }

  // The one that has all that the others have; nullptr: there is none. kDivergence.
  Result<const Candidate*> Primary() const {
    const Candidate* first = nullptr;
    for (const Candidate& one : candidates_) {
      if (!IsPrimary(one)) continue;
      if (first == nullptr || !first->Lacks(one.executed).empty() ||
          (&one == current_ && one.Lacks(first->executed).empty()))
        first = &one;
    }
    for (const Candidate& one : candidates_)
      if (first != nullptr && IsPrimary(one) && !first->Lacks(one.executed).empty())
        return SplitBrain(*first, one);
    return first;
  }

  Status SplitBrain(const Candidate& a, const Candidate& b) const {
    return Status(Code::kDivergence,
                  "both " + a.name + " and " + b.name + " are written to: only " + a.name +
                      " has " + BriefSet(b.Lacks(a.executed)) + ", only " + b.name + " has " +
                      BriefSet(a.Lacks(b.executed)),
                  "decide which is the primary, and SET GLOBAL super_read_only = ON on the other "
                  "or take it out of `hosts`");
  }

  bool CurrentIsNeeded(const Candidate& primary) const {
    if (&primary == current_ || !current_->Lacks(ours_).empty()) return false;
    const GtidSet more = current_->executed.Minus(archived_.executed);
    if (!primary.Lacks(more).empty() || more.Intersects(primary.purged)) return true;
    return !primary.Lacks(ours_).empty() && ReplicatesFrom(primary, *current_);
  }

  static bool ReplicatesFrom(const Candidate& candidate, const Candidate& other) {
    return std::any_of(candidate.upstreams.begin(), candidate.upstreams.end(),
                       [&](const Candidate::Upstream& upstream) {
                         return upstream.server == other.name ||
                                upstream.server_uuid == other.server_uuid;
                       });
  }

  // Why nobody could be asked, if that is the same for all: a wrong password, say.
  Code WhyNobody() const {
    const Code first = candidates_.front().unreachable.code();
    const bool all =
        std::all_of(candidates_.begin(), candidates_.end(),
                    [first](const Candidate& one) { return one.unreachable.code() == first; });
    return all && first != Code::kOk ? first : Code::kSourceUnavailable;
  }

  Status NobodyYet() const {
    std::string each;
    for (const Candidate& one : candidates_) {
      if (!each.empty()) each += "; ";
      each += one.name;
      if (!one.answers()) {
        each += " does not answer (" + one.unreachable.message() + ")";
        continue;
      }
      each += !one.writable ? " is read-only" : " replicates from " + one.upstreams.front().server;
      const GtidSet lacks = one.Lacks(ours_);
      if (!lacks.empty()) each += " and lacks " + BriefSet(lacks);
    }
    return Status(WhyNobody(), "no primary among the hosts: " + each,
                  "on the one that is to be the primary: STOP REPLICA; RESET REPLICA ALL; "
                  "SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF");
  }

  const std::vector<Candidate>& candidates_;
  const ArchivedSoFar& archived_;
  const GtidSet ours_;  // without the gaps, which nobody needs to have
  const Candidate* current_ = nullptr;
};

}  // namespace

Result<size_t> ChooseSource(const std::vector<Candidate>& candidates,
                            const ArchivedSoFar& archived) {
  return Choice(candidates, archived).Make();
}

std::string BriefSet(const GtidSet& set, size_t bytes_max) {
  const uint64_t count = set.Count();
  std::string text = std::to_string(count) + (count == 1 ? " transaction: " : " transactions: ");
  std::string names = set.ToString();
  if (names.size() > bytes_max) {
    names.resize(std::min(names.find_last_of(",:", bytes_max), bytes_max));
    names += ",…";
  }
  return text + names;
}

}  // namespace tidemark
