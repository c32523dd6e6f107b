// Runs every fuzz target over the inputs that were worth keeping, without clang: DIR/NAME/… for
// each target NAME. What one of them once found stays found. Ends with an error if a target has no
// input.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

using Target = int (*)(const uint8_t* data, size_t size);

// TIDEMARK_FUZZ_TARGETS is X(name) for each, from tests/CMakeLists.txt, which gives each file's
// LLVMFuzzerTestOneInput that name.
#define X(name) extern "C" int name(const uint8_t* data, size_t size);
TIDEMARK_FUZZ_TARGETS
#undef X

namespace {

const std::vector<std::pair<std::string, Target>> kTargets = {
#define X(name) {#name, name},
    TIDEMARK_FUZZ_TARGETS
#undef X
};

size_t Replay(const std::filesystem::path& directory, Target target) {
  size_t inputs = 0;
  if (!std::filesystem::is_directory(directory)) return inputs;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
    target(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    ++inputs;
  }
  return inputs;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: fuzz_replay DIRECTORY\n");
    return 2;
  }
  bool all = true;
  for (const auto& [name, target] : kTargets) {
    const size_t inputs = Replay(std::filesystem::path(argv[1]) / name, target);
    std::printf("%-24s %zu inputs\n", name.c_str(), inputs);
    all = all && inputs > 0;
  }
  if (!all)
    std::fprintf(stderr,
                 "fuzz_replay: a target without inputs: tools/fuzz, then tools/fuzz --keep\n");
  return all ? 0 : 1;
}
