// GtidSet::Decode and Parse on any bytes: no crash, and what they accept survives a round trip
// through both forms.
#include <cstddef>
#include <cstdint>

#include "replication/event/gtid_set.h"

namespace {

void CheckRoundTrips(const tidemark::GtidSet& set) {
  tidemark::Result<tidemark::GtidSet> parsed = tidemark::GtidSet::Parse(set.ToString());
  TM_CHECK(parsed.ok() && *parsed == set);
  const std::string bytes = set.Encode();
  tidemark::Result<tidemark::GtidSet> decoded = tidemark::GtidSet::Decode(tidemark::AsBytes(bytes));
  TM_CHECK(decoded.ok() && *decoded == set);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const tidemark::Bytes bytes(data, size);
  const tidemark::Result<tidemark::GtidSet> decoded = tidemark::GtidSet::Decode(bytes);
  const tidemark::Result<tidemark::GtidSet> parsed =
      tidemark::GtidSet::Parse(tidemark::AsText(bytes));
  if (decoded.ok()) CheckRoundTrips(*decoded);
  if (parsed.ok()) CheckRoundTrips(*parsed);
  if (decoded.ok() && parsed.ok()) {
    TM_CHECK(decoded->Union(*parsed).Minus(*parsed) == decoded->Minus(*parsed));
  }
  (void)tidemark::Gtid::Parse(tidemark::AsText(bytes));
  return 0;
}
