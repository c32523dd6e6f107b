#include "pitr/import_survey.h"

#include <algorithm>
#include <utility>

#include "pitr/abridged.h"
#include "pitr/event_cursor.h"
#include "pitr/segment_cache.h"
#include "replication/base/checksum.h"
#include "replication/event/stream_scanner.h"

namespace tidemark {
namespace {

constexpr size_t kCopiesComparedAtOnce = 65536;
constexpr size_t kFileDigitsMin = 6;

// "binlog.000042": what a server calls its files.
bool IsServersName(const std::string& name) {
  const size_t dot = name.rfind('.');
  return dot != std::string::npos && dot > 0 && name.size() - dot - 1 >= kFileDigitsMin &&
         std::all_of(name.begin() + static_cast<ptrdiff_t>(dot) + 1, name.end(),
                     [](char c) { return c >= '0' && c <= '9'; });
}

// Of `set`, but for what comes after all of `end` that has the same origin.
GtidSet NotAfter(const GtidSet& end, const GtidSet& set) {
  GtidSet rest;
  for (const auto& [tsid, intervals] : set.map()) {
    const auto known = end.map().find(tsid);
    if (known != end.map().end() && intervals.front().first > known->second.back().last) continue;
    for (const GnoInterval& interval : intervals) rest.Add(tsid, interval);
  }
  return rest;
}

Status AnotherHistory(const std::string& path, const Gtid& gtid, const std::string& how) {
  return Status(Code::kDivergence,
                path + " has another transaction " + gtid.ToString() + " than the archive: " + how,
                "the file is of another history, as after a server was set back and went on, and "
                "does not belong into this archive; or of another server: --server-uuid");
}

}  // namespace

Status ArchivedCopies::Add(const std::string& path, const std::optional<Uuid>& server_uuid,
                           const Gtid& gtid, Copy copy) {
  const auto [at, fresh] = wanted_.try_emplace(gtid, Wanted{path, server_uuid, copy});
  if (!fresh) {  // it is in two of the files
    TM_RETURN_IF_ERROR(Flush());
    wanted_.try_emplace(gtid, Wanted{path, server_uuid, copy});
  }
  gtids_.Add(gtid);
  return wanted_.size() < kCopiesComparedAtOnce ? OkStatus() : Flush();
}

Status ArchivedCopies::Compare(const Gtid& gtid, const Copy& archived) {
  const auto at = wanted_.find(gtid);
  if (at == wanted_.end()) return OkStatus();
  const Wanted wanted = std::move(at->second);
  wanted_.erase(at);
  if (wanted.server_uuid == archived_server_)
    return wanted.copy.xxh64 == archived.xxh64
               ? OkStatus()
               : AnotherHistory(wanted.path, gtid,
                                "its bytes are not the same, and both are said to be written by " +
                                    archived_server_.ToString());
  if (wanted.copy.original_commit_us == archived.original_commit_us) return OkStatus();
  return AnotherHistory(wanted.path, gtid,
                        "it was committed first at " + FormatTime(wanted.copy.original_commit_us) +
                            ", the archive's at " + FormatTime(archived.original_commit_us));
}

// The archive's are read in its order, whatever the files'.
Status ArchivedCopies::Flush() {
  if (wanted_.empty()) return OkStatus();
  EventCursor cursor(view_, {.include = std::exchange(gtids_, {})});
  StreamScanner scanner(ScannerOptions{.count_rows = false});
  Xxh64 hash;
  for (;;) {
    TM_ASSIGN_OR_RETURN(const StreamPiece piece, cursor.Next());
    if (piece.kind == StreamPiece::Kind::kEnd) break;
    const bool transactions = piece.kind == StreamPiece::Kind::kTransactions;
    archived_server_ = cursor.server_uuid();
    const uint64_t begin = scanner.offset();
    uint64_t hashed = begin;
    const auto hash_to = [&](uint64_t end) {
      if (transactions) hash.Update(piece.bytes.subspan(hashed - begin, end - hashed));
      hashed = end;
    };
    TM_RETURN_IF_ERROR(scanner.FeedBytes(piece.bytes, [&](const ScannedEvent& event) {
      if (event.finished == nullptr) return OkStatus();
      hash_to(event.offset + event.header.size);
      const Copy copy{hash.Digest(), event.finished->original_commit_us};
      hash.Reset();
      return Compare(event.finished->gtid, copy);
    }));
    hash_to(begin + piece.bytes.size());
  }
  if (wanted_.empty()) return OkStatus();
  return Status(Code::kCorruption,
                "the archive does not give back " + wanted_.begin()->first.ToString() +
                    ", which its index knows",
                "pitr verify tells what is damaged");
}

// One file, from its beginning to its end.
class Survey::Reading {
 public:
  Reading(Survey& survey, BinlogFile& input, SurveyedFile* file)
      : survey_(survey),
        input_(input),
        file_(*file),
        scanner_(ScannerOptions{.count_rows = false}) {}

  Status Run() {
    for (;;) {
      Result<Bytes> event = input_.Next();
      if (!event.ok() && event.error().code() == Code::kEndOfData) break;
      if (!event.ok() && event.error().code() == Code::kTruncated)
        return Truncated(event.error().message());
      if (!event.ok()) return event.error();
      TM_RETURN_IF_ERROR(Take(*event));
    }
    if (!scanner_.in_transaction()) return OkStatus();
    return Truncated(input_.path() + " ends at " + std::to_string(input_.bytes()) +
                     ", inside transaction " + scanner_.open_gtid()->ToString() +
                     ", which begins at " + std::to_string(file_.whole_bytes));
  }

 private:
  Status Truncated(const std::string& message) {
    file_.truncated = true;
    if (survey_.options_.allow_truncated) return OkStatus();
    return Status(Code::kTruncated, message,
                  "find a whole copy of the file; or take what is whole of it, up to " +
                      std::to_string(file_.whole_bytes) + ": --allow-truncated");
  }

  Status Damaged(const std::string& what) const {
    return Status(Code::kCorruption, input_.path() + ": " + what, "find another copy of the file");
  }

  Status Take(Bytes bytes) {
    ScannedEvent event;
    if (Status fed = scanner_.FeedEvent(bytes, &event); !fed.ok()) {
      const std::string hint = fed.hint().empty() ? "find another copy of the file" : fed.hint();
      return Status(fed.code(),
                    input_.path() + ": the event that ends at position " +
                        std::to_string(input_.position()) + ": " + fed.message(),
                    hint);
    }
    if (event.header.log_pos != static_cast<uint32_t>(input_.position()))
      return Damaged("the event that ends at position " + std::to_string(input_.position()) +
                     " says that it ends at " + std::to_string(event.header.log_pos));
    survey_.bytes_read_ += bytes.size();
    if (survey_.progress_ && !survey_.progress_(survey_.bytes_read_))
      return Status(Code::kInterrupted, "interrupted while reading " + input_.path());
    if (event.role == EventRole::kTransaction) TM_RETURN_IF_ERROR(TakeTransaction(bytes, event));
    if (scanner_.in_transaction()) return OkStatus();
    file_.whole_bytes = input_.position();
    file_.closed = event.role == EventRole::kRotate || event.role == EventRole::kStop;
    if (event.role != EventRole::kRotate) return OkStatus();
    TM_ASSIGN_OR_RETURN(Rotate rotate, ParseRotate(EventBody(event.head, event.checksum)));
    file_.next_name = std::move(rotate.next_file);
    return OkStatus();
  }

  Status TakeTransaction(Bytes bytes, const ScannedEvent& event) {
    if (event.begins_transaction) {
      compared_ = survey_.coverage_.archived.Contains(*scanner_.open_gtid());
      hash_.Reset();
    }
    if (compared_) hash_.Update(bytes);
    if (event.finished == nullptr) return OkStatus();
    const Gtid& gtid = event.finished->gtid;
    if (file_.gtids.Contains(gtid) || file_.previous.Contains(gtid))
      return Damaged("transaction " + gtid.ToString() + " is in it twice, or before it as well");
    file_.gtids.Add(gtid);
    ++file_.transactions;
    if (survey_.missing_.Contains(gtid)) file_.wanted.Add(gtid);
    if (!compared_) return OkStatus();
    file_.already.Add(gtid);
    return survey_.copies_.Add(input_.path(), file_.server_uuid, gtid,
                               {hash_.Digest(), event.finished->original_commit_us});
  }

  Survey& survey_;
  BinlogFile& input_;
  SurveyedFile& file_;
  StreamScanner scanner_;
  bool compared_ = false;
  Xxh64 hash_;
};

Survey::Survey(ArchiveView& view, SurveyOptions options, std::function<bool(uint64_t)> progress)
    : view_(view),
      options_(std::move(options)),
      progress_(std::move(progress)),
      coverage_(view.ComputeCoverage()),
      copies_(view) {
  for (const GapRecord& gap : coverage_.gaps) missing_.Add(gap.missing);
  for (const SourceFork& fork : view.forks()) given_up_.Add(fork.lost);
}

// Before it is read: what it is compared with hangs on who wrote it.
Status Survey::FindWriter(SurveyedFile* file) {
  if (!servers_) {
    TM_ASSIGN_OR_RETURN(servers_, KnownServers::Of(view_));
  }
  file->own_origin = OwnOrigin(view_.archive().files(), file->path,
                               [this] { return !progress_ || progress_(bytes_read_); });
  TM_ASSIGN_OR_RETURN(
      file->server_uuid,
      servers_->WriterOf(file->path, file->server_id, file->own_origin, options_.server_uuid));
  return OkStatus();
}

Result<SurveyedFile> Survey::Read(const std::string& path) {
  TM_ASSIGN_OR_RETURN(auto input, BinlogFile::Open(view_.archive().files(), path));
  SurveyedFile file;
  file.path = path;
  file.name = path.substr(path.rfind('/') + 1);
  file.bytes = input->bytes();
  file.server_id = input->server_id();
  file.created = input->created();
  file.previous = input->previous();
  TM_RETURN_IF_ERROR(FindWriter(&file));
  TM_RETURN_IF_ERROR(Reading(*this, *input, &file).Run());
  TM_RETURN_IF_ERROR(CheckKnown(&file));
  return file;
}

// A server's last file goes on past what the archive has: that is still to come from the source, or
// it was lost with the server that wrote it. Neither is a reason not to fill the gap.
Status Survey::CheckKnown(SurveyedFile* file) const {
  file->passed = file->gtids.Minus(file->wanted).Minus(file->already);
  const GtidSet strange = NotAfter(coverage_.end, file->passed.Minus(given_up_));
  if (!strange.empty())
    return Status(Code::kDivergence,
                  file->path + " holds transactions that the archive neither has nor misses: " +
                      Abridged(strange),
                  strange.IsSubsetOf(coverage_.before)
                      ? "they are older than the archive: it begins with a backup that holds them"
                      : "as far as it is archived, the source never had them: a file of a server "
                        "with transactions of its own cannot be imported");
  if (file->wanted.empty()) return OkStatus();
  if (!IsServersName(file->name))
    return Status(Code::kUsage,
                  "'" + file->name + "' is no name of a binary log file: " + file->path,
                  "give it the name that it had on its server, as binlog.000042");
  if (!file->server_uuid)
    return Status(
        Code::kUsage,
        file->path + " was written by a server with server_id " + std::to_string(file->server_id) +
            ", and the archive does not know which one that is",
        "name it with --server-uuid UUID; it stands in auto.cnf of its data directory" +
            (file->own_origin
                 ? ", and is " + file->own_origin->ToString() + " if it is no group's member"
                 : ""));
  return OkStatus();
}

}  // namespace tidemark
