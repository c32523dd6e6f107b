// Comparing an index with another one (as text) or with the segments it was made of.
#include "index/entries.h"
#include "index/index.h"

namespace tidemark {

Status DumpIndex(Index& index, std::string* text) {
  return index.EachEntry([text](const IndexEntry& entry) {
    text->append(DescribeEntry(entry)).push_back('\n');
    return OkStatus();
  });
}

Result<std::vector<std::string>> VerifyIndexAgainst(Index& index, const SegmentContents& contents,
                                                    size_t differences_max) {
  const std::vector<IndexEntry> wanted = BatchEntries(contents);
  TM_ASSIGN_OR_RETURN(const std::vector<IndexEntry> present,
                      index.SegmentContentsOf(contents.source, contents.segment.header.number));
  std::vector<std::string> differences;
  auto add = [&](std::string difference) {
    if (differences.size() < differences_max) differences.push_back(std::move(difference));
  };
  auto have = present.begin();
  for (const IndexEntry& want : wanted) {
    for (; have != present.end() && have->KeyLess(want); ++have) {
      add("the index has more than the segment: " + DescribeEntry(*have));
    }
    if (have == present.end() || want.KeyLess(*have)) {
      add("the index lacks: " + DescribeEntry(want));
      continue;
    }
    if (have->value != want.value) {
      add("the index says: " + DescribeEntry(*have) + "; the segment says: " + DescribeEntry(want));
    }
    ++have;
  }
  for (; have != present.end(); ++have) {
    add("the index has more than the segment: " + DescribeEntry(*have));
  }
  return differences;
}

}  // namespace tidemark
