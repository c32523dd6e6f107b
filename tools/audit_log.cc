#include "tools/audit_log.h"

#include <fcntl.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/json_util.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "pitr/target.h"
#include "replication/base/clock.h"

namespace tidemark {
namespace {

namespace pb = google::protobuf;
using Json = nlohmann::ordered_json;

// More is not even made into text.
constexpr size_t kRequestMessageBytesMax = 256 << 10;
constexpr int kNestingMax = 20;
constexpr const char* kHidden = "(not shown)";

bool NamesASecret(const std::string& field) {
  if (field == "page_token") return false;
  for (const char* word : {"password", "secret", "token", "credential", "private_key"})
    if (field.find(word) != std::string::npos) return true;
  return false;
}

// In place. What is nested too deeply to look at is removed.
void HideSecrets(pb::Message* message, int depth = 0) {
  const pb::Reflection& facts = *message->GetReflection();
  std::vector<const pb::FieldDescriptor*> fields;
  facts.ListFields(*message, &fields);
  for (const pb::FieldDescriptor* field : fields) {
    const bool nested = field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE;
    if (NamesASecret(field->name()) || (nested && depth == kNestingMax)) {
      const bool text = field->type() == pb::FieldDescriptor::TYPE_STRING && !field->is_repeated();
      facts.ClearField(message, field);
      if (text) facts.SetString(message, field, kHidden);
    } else if (nested && field->is_repeated()) {
      for (int i = 0; i < facts.FieldSize(*message, field); ++i)
        HideSecrets(facts.MutableRepeatedMessage(message, field, i), depth + 1);
    } else if (nested) {
      HideSecrets(facts.MutableMessage(message, field), depth + 1);
    }
  }
}

void AddRequest(const pb::Message& request, Json* line) {
  const size_t bytes = request.ByteSizeLong();
  if (bytes > kRequestMessageBytesMax) {
    (*line)["request_bytes"] = bytes;
    return;
  }
  const std::unique_ptr<pb::Message> shown(request.New());
  shown->CopyFrom(request);
  HideSecrets(shown.get());
  std::string text;
  if (!pb::util::MessageToJsonString(*shown, &text).ok()) {
    (*line)["request_bytes"] = bytes;
  } else if (text.size() > kAuditRequestBytesMax) {
    (*line)["request_begin"] = text.substr(0, kAuditRequestBytesMax);
    (*line)["request_bytes"] = bytes;
  } else {
    (*line)["request"] = Json::parse(text, nullptr, false);
  }
}

Status CannotUse(const std::string& file, const std::string& why) {
  return Status(Code::kUsage, "cannot write the audit file " + file + ": " + why,
                "its directory must exist and be writable by tidemarkd's user");
}

Result<int> OpenFile(const std::string& file) {
  // O_NONBLOCK: a FIFO in its place must not hang the daemon.
  const int descriptor =
      ::open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
  if (descriptor < 0) return CannotUse(file, std::strerror(errno));
  struct stat facts = {};
  if (::fstat(descriptor, &facts) == 0 && S_ISREG(facts.st_mode)) return descriptor;
  ::close(descriptor);
  return CannotUse(file, "it is not a file");
}

}  // namespace

std::string AuditLine(const rpc::AuditRecord& record, int64_t now_us, uint64_t unrecorded) {
  const rpc::CallContext& context = *record.context;
  Json line = {{"time", FormatTime(now_us)},
               {"identity", context.identity},
               {"role", rpc::RoleName(context.role)},
               {"peer", context.peer},
               {"method", context.method}};
  line["outcome"] = record.begins  ? "begins"
                    : record.error ? rpc::RpcCodeName(record.error->code)
                                   : "ok";
  if (record.error) line["message"] = record.error->message;
  if (!record.begins) line["duration_us"] = record.duration.count();
  if (record.request != nullptr) AddRequest(*record.request, &line);
  if (unrecorded > 0) line["unrecorded"] = unrecorded;
  return line.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Status AuditLog::Check(const std::string& file) {
  if (file.empty()) return OkStatus();
  struct stat facts = {};
  if (::stat(file.c_str(), &facts) == 0)
    return S_ISREG(facts.st_mode) ? OkStatus() : CannotUse(file, "it is not a file");
  if (errno != ENOENT) return CannotUse(file, std::strerror(errno));
  const size_t slash = file.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : file.substr(0, slash + 1);
  if (::stat(directory.c_str(), &facts) != 0) return CannotUse(file, std::strerror(errno));
  return S_ISDIR(facts.st_mode) ? OkStatus() : CannotUse(file, std::strerror(ENOTDIR));
}

Result<std::unique_ptr<AuditLog>> AuditLog::Open(std::string file) {
  std::unique_ptr<AuditLog> log(new AuditLog());
  TM_RETURN_IF_ERROR(log->Reopen(file));
  return log;
}

AuditLog::~AuditLog() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Status AuditLog::Reopen(const std::string& file) {
  int fresh = -1;
  if (!file.empty()) {
    TM_ASSIGN_OR_RETURN(fresh, OpenFile(file));
  }
  std::lock_guard lock(mutex_);
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = fresh;
  file_ = file;
  broken_line_ = false;
  return OkStatus();
}

void AuditLog::Write(const rpc::AuditRecord& record) {
  uint64_t unrecorded = 0;
  {
    std::lock_guard lock(mutex_);
    if (TooManyStrangers(record)) return;
    unrecorded = std::exchange(unrecorded_, 0);
  }
  const std::string line = AuditLine(record, SystemClock().WallMicroseconds(), unrecorded);
  std::lock_guard lock(mutex_);
  if (descriptor_ >= 0) {
    const Status written = Append(line + "\n");
    if (written.ok()) return;
    spdlog::error("{}", written.message());
  }
  spdlog::info("audit: {}", line);
}

bool AuditLog::TooManyStrangers(const rpc::AuditRecord& record) {
  const bool stranger =
      record.error && record.error->code == rpc::RpcCode::kUnauthenticated && !record.request;
  if (!stranger) return false;
  const auto now = std::chrono::steady_clock::now();
  if (now - second_ >= std::chrono::seconds(1)) {
    second_ = now;
    strangers_ = 0;
  }
  if (strangers_++ < kAuditStrangersPerSecondMax) return false;
  ++unrecorded_;
  return true;
}

Status AuditLog::Append(std::string line) {
  if (broken_line_) line.insert(line.begin(), '\n');
  for (size_t at = 0; at < line.size();) {
    const ssize_t wrote = ::write(descriptor_, line.data() + at, line.size() - at);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) {
      const std::string why = std::strerror(errno);
      broken_line_ = broken_line_ || at > 0;
      return CannotUse(file_, why);
    }
    at += static_cast<size_t>(wrote);
  }
  broken_line_ = false;
  return OkStatus();
}

}  // namespace tidemark
