#include "pitr/serve/rsa_key.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <utility>

namespace tidemark {
namespace {

constexpr int kBitsMade = 2048;  // as mysqld makes them
constexpr int kBitsMin = 2048;
constexpr int kBitsMax = 8192;  // MAX_CIPHER_LENGTH of clients, in bytes 1024

using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using ContextPtr = std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)>;
using BioPtr = std::unique_ptr<BIO, decltype(&BIO_free)>;
using FilePtr = std::unique_ptr<FILE, decltype(&std::fclose)>;

// OpenSSL's errors are a queue of the thread: what is left there is taken for an error of the next
// TLS connection.
struct ErrorsCleared {
  ~ErrorsCleared() { ERR_clear_error(); }
};

// Without this, OpenSSL asks at the terminal.
int NoPassphrase(char*, int, int, void*) { return -1; }

std::string PemOf(EVP_PKEY* key) {
  const BioPtr memory(BIO_new(BIO_s_mem()), BIO_free);
  if (!memory || PEM_write_bio_PUBKEY(memory.get(), key) != 1) return {};
  char* text = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &text);
  return size > 0 ? std::string(text, static_cast<size_t>(size)) : std::string();
}

// The plain text's size, into `plain`, which has the room of a key's size; 0 if it cannot be done.
size_t DecryptOaep(EVP_PKEY* key, Bytes encrypted, std::string* plain) {
  const ContextPtr context(EVP_PKEY_CTX_new(key, nullptr), EVP_PKEY_CTX_free);
  size_t size = plain->size();
  if (!context || EVP_PKEY_decrypt_init(context.get()) <= 0 ||
      EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) <= 0 ||
      EVP_PKEY_decrypt(context.get(), reinterpret_cast<unsigned char*>(plain->data()), &size,
                       encrypted.data(), encrypted.size()) <= 0)
    return 0;
  return size;
}

}  // namespace

struct RsaKey::State {
  std::mutex mutex;  // of making the key; afterwards it does not change
  bool made = false;
  KeyPtr key{nullptr, EVP_PKEY_free};
  std::string public_pem;
};

RsaKey::RsaKey() : state_(std::make_unique<State>()) {}
RsaKey::~RsaKey() = default;

Result<std::unique_ptr<RsaKey>> RsaKey::Load(const std::string& pem_file) {
  const ErrorsCleared cleared;
  const FilePtr file(std::fopen(pem_file.c_str(), "rbe"), std::fclose);
  if (!file) {
    return Status(Code::kIo, "cannot read RSA key " + pem_file + ": " + std::strerror(errno));
  }
  KeyPtr key(PEM_read_PrivateKey(file.get(), nullptr, NoPassphrase, nullptr), EVP_PKEY_free);
  if (!key || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_RSA) {
    return Status(Code::kUsage, pem_file + " is not an RSA private key in PEM without a passphrase",
                  "make one with `openssl genrsa -out FILE 2048`");
  }
  const int bits = EVP_PKEY_get_bits(key.get());
  if (bits < kBitsMin || bits > kBitsMax) {
    return Status(Code::kUsage, "RSA key " + pem_file + " has " + std::to_string(bits) + " bits",
                  "use one of 2048 to 8192 bits");
  }
  auto loaded = std::make_unique<RsaKey>();
  loaded->state_->public_pem = PemOf(key.get());
  loaded->state_->key = std::move(key);
  loaded->state_->made = true;
  return loaded;
}

std::string RsaKey::PublicPem() {
  const std::lock_guard lock(state_->mutex);
  if (!state_->made) {
    const ErrorsCleared cleared;
    state_->key.reset(EVP_RSA_gen(kBitsMade));
    if (!state_->key) return {};
    state_->public_pem = PemOf(state_->key.get());
    state_->made = true;
  }
  return state_->public_pem;
}

Result<std::string> RsaKey::Decrypt(Bytes encrypted, const Nonce& nonce) {
  const ErrorsCleared cleared;
  Status broken(Code::kCorruption, "the password is not encrypted with the key that was given");
  EVP_PKEY* key = nullptr;
  {
    const std::lock_guard lock(state_->mutex);
    if (!state_->made) return broken;
    key = state_->key.get();
  }
  const size_t key_bytes = static_cast<size_t>(EVP_PKEY_get_size(key));
  if (encrypted.size() != key_bytes) return broken;
  std::string plain(key_bytes, '\0');  // on the heap: it moves without a copy
  const size_t size = DecryptOaep(key, encrypted, &plain);
  for (size_t i = 0; i < size; ++i) {
    plain[i] = static_cast<char>(static_cast<uint8_t>(plain[i]) ^ nonce[i % nonce.size()]);
  }
  const size_t end = std::string_view(plain).substr(0, size).find('\0');
  if (end == std::string_view::npos) {
    OPENSSL_cleanse(plain.data(), plain.size());
    return broken;
  }
  OPENSSL_cleanse(plain.data() + end, plain.size() - end);
  plain.resize(end);
  return plain;
}

}  // namespace tidemark
