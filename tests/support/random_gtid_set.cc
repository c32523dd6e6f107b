#include "tests/support/random_gtid_set.h"

#include <algorithm>

namespace tidemark::testing {
namespace {

std::string Blanks(Random& random) {
  static const std::vector<std::string> kBlanks = {"", "", "", " ", "\n", "\t ", "\r\n"};
  return kBlanks[static_cast<size_t>(RandomNumber(random, 0, std::ssize(kBlanks) - 1))];
}

std::string RandomCase(Random& random, std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z' && RandomNumber(random, 0, 3) == 0) c = static_cast<char>(c - 32);
  }
  return text;
}

}  // namespace

int64_t RandomNumber(Random& random, int64_t first, int64_t last) {
  return std::uniform_int_distribution<int64_t>(first, last)(random);
}

const std::vector<Tsid>& SmallUniverse() {
  static const std::vector<Tsid> kUniverse = [] {
    std::vector<Tsid> tsids;
    for (uint8_t byte : {0x01, 0xFE}) {
      Uuid uuid;
      uuid.bytes.fill(byte);
      for (const char* tag : {"", "a", "_tag_of_thirty_two_characters_00"})
        tsids.push_back({uuid, tag});
    }
    return tsids;
  }();
  return kUniverse;
}

std::vector<RandomInterval> RandomIntervals(Random& random, int64_t intervals_max, bool near_end) {
  std::vector<RandomInterval> intervals;
  const int64_t base = near_end ? kGnoMax - kSmallGnoMax : 0;
  const std::vector<Tsid>& universe = SmallUniverse();
  for (int64_t left = RandomNumber(random, 0, intervals_max); left > 0; --left) {
    const size_t tsid = static_cast<size_t>(RandomNumber(random, 0, std::ssize(universe) - 1));
    const int64_t first = RandomNumber(random, 1, kSmallGnoMax);
    const int64_t last = std::min(first + RandomNumber(random, 0, 6), kSmallGnoMax);
    intervals.push_back({universe[tsid], {base + first, base + last}});
  }
  return intervals;
}

GtidSet SetOf(const std::vector<RandomInterval>& intervals) {
  GtidSet set;
  for (const RandomInterval& each : intervals) set.Add(each.tsid, each.interval);
  return set;
}

std::string SloppyText(Random& random, const std::vector<RandomInterval>& intervals) {
  const auto blanks = [&random] { return Blanks(random); };
  std::string text = blanks();
  const RandomInterval* previous = nullptr;
  for (const RandomInterval& each : intervals) {
    const auto& [tsid, interval] = each;
    const bool same_uuid = previous != nullptr && previous->tsid.uuid == tsid.uuid;
    // A tag holds until the next UUID, so that only a tagged interval may follow another of the
    // same UUID.
    if (same_uuid && (!tsid.tag.empty() || previous->tsid.tag.empty())) {
      if (tsid.tag != previous->tsid.tag || RandomNumber(random, 0, 1) == 0) {
        if (!tsid.tag.empty()) text += blanks() + ":" + blanks() + RandomCase(random, tsid.tag);
      }
    } else {
      if (previous != nullptr)
        text += "," + blanks() + (RandomNumber(random, 0, 3) == 0 ? "," : "");
      text += blanks() + RandomCase(random, tsid.uuid.ToString()) + blanks();
      if (!tsid.tag.empty()) text += ":" + blanks() + RandomCase(random, tsid.tag) + blanks();
    }
    if (RandomNumber(random, 0, 5) == 0) text += ":9-3";  // an empty interval
    text += ":" + blanks() + std::to_string(interval.first) + blanks();
    if (interval.last != interval.first || RandomNumber(random, 0, 3) == 0) {
      text += "-" + blanks() + std::to_string(interval.last) + blanks();
    }
    previous = &each;
  }
  return text + blanks() + (RandomNumber(random, 0, 4) == 0 ? "," : "");
}

}  // namespace tidemark::testing
