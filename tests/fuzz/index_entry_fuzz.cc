// Any key and value of any family, as a damaged or hostile index would give them: decoding is
// bounded and never crashes, and what is accepted is one line of text.
#include <algorithm>

#include "index/entries.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  tidemark::IndexEntry entry;
  entry.family = static_cast<tidemark::Family>(data[0] % tidemark::kFamilyCount);
  const std::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
  const size_t key_bytes = std::min<size_t>(data[1], rest.size());
  entry.key = rest.substr(0, key_bytes);
  entry.value = rest.substr(key_bytes);
  TM_CHECK(tidemark::DescribeEntry(entry).find('\n') == std::string::npos);
  return 0;
}
