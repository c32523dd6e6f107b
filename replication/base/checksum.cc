#include "replication/base/checksum.h"

#include <libdeflate.h>
#include <openssl/evp.h>
#include <xxhash.h>

#include "replication/base/status.h"

namespace tidemark {

uint32_t Crc32(uint32_t seed, Bytes bytes) {
  return libdeflate_crc32(seed, bytes.data(), bytes.size());
}

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  TM_CHECK(state_->context != nullptr &&
           EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1);
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::Update(Bytes bytes) {
  TM_CHECK(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

Sha256Digest Sha256::Finish() {
  Sha256Digest digest{};
  unsigned size = 0;
  TM_CHECK(EVP_DigestFinal_ex(state_->context, digest.data(), &size) == 1 && size == digest.size());
  return digest;
}

Sha256 Sha256::Copy() const {
  Sha256 copy;
  TM_CHECK(EVP_MD_CTX_copy_ex(copy.state_->context, state_->context) == 1);
  return copy;
}

struct Xxh64::State {
  XXH64_state_t* state = XXH64_createState();
  ~State() { XXH64_freeState(state); }
};

Xxh64::Xxh64() : state_(std::make_unique<State>()) { Reset(); }
Xxh64::~Xxh64() = default;
Xxh64::Xxh64(Xxh64&&) noexcept = default;
Xxh64& Xxh64::operator=(Xxh64&&) noexcept = default;

void Xxh64::Reset() { TM_CHECK(XXH64_reset(state_->state, 0) == XXH_OK); }
void Xxh64::Update(Bytes bytes) {
  TM_CHECK(XXH64_update(state_->state, bytes.data(), bytes.size()) == XXH_OK);
}
uint64_t Xxh64::Digest() const { return XXH64_digest(state_->state); }

std::string Hex(Bytes bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (uint8_t byte : bytes) {
    text.push_back(kDigits[byte >> 4]);
    text.push_back(kDigits[byte & 15]);
  }
  return text;
}

}  // namespace tidemark
