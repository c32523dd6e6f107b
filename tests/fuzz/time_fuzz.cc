// ParseTime over any text. What it accepts must be what FormatTime prints, and printing a hint must
// not go wrong.
#include <cstdlib>

#include "pitr/target.h"
#include "replication/base/bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto time = tidemark::ParseTime(tidemark::AsText({data, size}));
  if (!time.ok()) {
    if (time.error().code() != tidemark::Code::kUsage || time.error().hint().empty()) std::abort();
    return 0;
  }
  if (*time < 0) std::abort();
  auto again = tidemark::ParseTime(tidemark::FormatTime(*time));
  // Year 9999 and a zone west of UTC give a time of year 10000, which has no text of this form.
  if (*time < 253402300800000000 && (!again.ok() || *again != *time)) std::abort();
  return 0;
}
