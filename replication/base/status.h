// Status and Result<T>: how every function of Tidemark says that it could not do its work.
//
// A Status is either OK or an error: a class (`Code`), one lower-case sentence that names the file,
// offset or GTID concerned, and optionally a hint that says what to do. Exceptions are left for
// bugs and exhausted memory. `Result<T>` has the names of C++23's std::expected<T, Status>. Both
// are values, owned by whoever holds them.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

namespace tidemark {

// One value per class of error; the command line maps each to one exit code (tools/README.md).
enum class Code : uint8_t {
  kOk = 0,
  kUsage,              // wrong arguments or configuration
  kNotFound,           // the thing asked for is not there (a GTID, a time, a source, a file)
  kEndOfData,          // a clean end: nothing follows, and nothing is missing
  kTruncated,          // data ends in the middle of something
  kCorruption,         // data contradicts itself: checksum, boundary, continuity
  kUnsupportedFormat,  // written by a newer version, or not ours at all
  kUnreachableTarget,  // a restore target that base and archive together cannot reach
  kGap,                // transactions are missing inside a range that was asked for
  kSourceRefused,      // the source refused us or is unfit: login, TLS, privileges, GTID mode
  kSourceUnavailable,  // the source cannot be reached now, or the connection broke: worth another
                       // try
  kDivergence,     // source and archive hold different histories (ARCHITECTURE.md, invariant 10)
  kTargetRefused,  // the restore target refused us or is unfit: data directory not empty, GTIDs
                   // executed
  kBadBackup,      // a base backup without a usable coordinate, or incomplete
  kEndStateNotReached,  // a restore ended somewhere else than planned
  kLocked,              // somebody else holds the archive
  kInterrupted,         // a signal asked us to stop
  kDiskFull,            // ENOSPC or EDQUOT
  kIo,                  // any other failure of a file
};

const char* CodeName(Code code);  // stable lower-case name, e.g. "corruption"; used in --json

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message, std::string hint = {})
      : code_(code), message_(std::move(message)), hint_(std::move(hint)) {}

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }
  const std::string& hint() const { return hint_; }
  Status WithHint(std::string hint) && {
    hint_ = std::move(hint);
    return std::move(*this);
  }
  // The same error seen from further out: "opening segment X: <message>".
  Status WithContext(const std::string& where) && {
    message_ = where + ": " + message_;
    return std::move(*this);
  }

 private:
  Code code_ = Code::kOk;
  std::string message_;
  std::string hint_;
};

inline Status OkStatus() { return {}; }

// Reports a broken invariant and aborts. Never for input: input errors are a Status.
[[noreturn]] void CheckFailed(const char* expression, const char* file, int line);
#define TM_CHECK(expression) \
  ((expression) ? void(0) : ::tidemark::CheckFailed(#expression, __FILE__, __LINE__))

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(Status error) : error_(std::move(error)) {
    TM_CHECK(!error_.ok());
  }  // NOLINT(google-explicit-constructor)

  bool has_value() const { return value_.has_value(); }
  bool ok() const { return value_.has_value(); }
  const Status& error() const { return error_; }
  T& value() {
    TM_CHECK(value_.has_value());
    return *value_;
  }
  const T& value() const {
    TM_CHECK(value_.has_value());
    return *value_;
  }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::optional<T> value_;
  Status error_;
};

#define TM_CONCAT_INNER(a, b) a##b
#define TM_CONCAT(a, b) TM_CONCAT_INNER(a, b)

#define TM_RETURN_IF_ERROR(expression)                                                  \
  do {                                                                                  \
    if (::tidemark::Status tm_status = (expression); !tm_status.ok()) return tm_status; \
  } while (false)

// TM_ASSIGN_OR_RETURN(auto x, Function()): x is moved out of the result, or its error returned.
#define TM_ASSIGN_OR_RETURN(declaration, expression) \
  TM_ASSIGN_OR_RETURN_INNER(TM_CONCAT(tm_result_, __LINE__), declaration, expression)
#define TM_ASSIGN_OR_RETURN_INNER(result, declaration, expression) \
  auto result = (expression);                                      \
  if (!result.has_value()) return result.error();                  \
  declaration = std::move(result.value())

}  // namespace tidemark
