// A dump comes from anywhere: its lexer and coordinate parser must take any bytes, in pieces of any
// size, and give the same answer for each cut.
#include <cstdint>
#include <memory>

#include "pitr/restore/dump_coordinate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto read = [text](size_t piece) {
    auto coordinate = std::make_unique<tidemark::DumpCoordinate>();
    tidemark::DumpLexer lexer(
        [&](const tidemark::DumpItem& item) { return coordinate->Take(item); });
    bool wanted = true;
    for (size_t at = 0; at < text.size() && wanted; at += piece)
      wanted = lexer.Feed(text.substr(at, piece));
    if (wanted && lexer.Finish()) coordinate->Finish();
    return coordinate;
  };
  const auto whole = read(size + 1), pieces = read(size % 97 + 1);
  TM_CHECK(whole->status().code() == pieces->status().code());
  TM_CHECK(whole->gtid_set() == pieces->gtid_set());
  TM_CHECK(whole->position() == pieces->position());
  return 0;
}
