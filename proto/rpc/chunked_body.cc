#include "proto/rpc/chunked_body.h"

#include <algorithm>
#include <charconv>

namespace tidemark::rpc {
namespace {

constexpr size_t kSizeDigitsMax = 15;  // far beyond any limit, and no overflow

Status NotChunks(const char* what) {
  return Status(Code::kCorruption, std::string("not HTTP/1.1's chunks: ") + what);
}

}  // namespace

Result<bool> ChunkedBody::Put(std::string* input, std::string* body) {
  size_t taken = 0;
  Status status;
  while (status.ok() && state_ != State::kDone) {
    const std::string_view rest = std::string_view(*input).substr(taken);
    if (state_ == State::kData) {
      if (rest.empty()) break;
      const size_t size = static_cast<size_t>(std::min<uint64_t>(left_, rest.size()));
      body->append(rest, 0, size);
      taken += size;
      left_ -= size;
      if (left_ == 0) state_ = State::kDataEnd;
      continue;
    }
    const size_t end = rest.find('\n');
    if (std::min(end, rest.size()) > kChunkLineBytesMax) {
      status = NotChunks("a line is too long");
    } else if (end == std::string_view::npos) {
      break;
    } else if (end == 0 || rest.find('\r') != end - 1) {
      status = NotChunks("a line does not end with CRLF");
    } else {
      status = TakeLine(rest.substr(0, end - 1));
      taken += end + 1;
    }
  }
  input->erase(0, taken);
  TM_RETURN_IF_ERROR(status);
  return state_ == State::kDone;
}

Status ChunkedBody::TakeLine(std::string_view line) {
  if (state_ == State::kDataEnd) {
    if (!line.empty()) return NotChunks("a chunk is longer than it says");
    state_ = State::kSize;
    return OkStatus();
  }
  if (state_ == State::kTrailer) {
    trailer_bytes_ += line.size();
    if (trailer_bytes_ > kTrailerBytesMax) return NotChunks("the trailers are too long");
    if (line.empty()) state_ = State::kDone;
    return OkStatus();
  }
  const size_t digits = line.find_first_not_of("0123456789abcdefABCDEF");
  const std::string_view size = line.substr(0, digits);
  const std::string_view extension = line.substr(size.size());
  if (size.empty() || size.size() > kSizeDigitsMax) return NotChunks("a chunk without a size");
  if (!extension.empty() && extension.front() != ';' && extension.front() != ' ' &&
      extension.front() != '\t')
    return NotChunks("a chunk without a size");
  std::from_chars(size.data(), size.data() + size.size(), left_, 16);
  state_ = left_ == 0 ? State::kTrailer : State::kData;
  return OkStatus();
}

}  // namespace tidemark::rpc
