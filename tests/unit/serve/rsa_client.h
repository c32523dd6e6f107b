// What a client does with the server's public key: (password + NUL) XOR nonce, RSA with OAEP.
#pragma once

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <memory>
#include <string>

#include "pitr/serve/accounts.h"
#include "pitr/serve/rsa_key.h"

namespace tidemark::testing {

// Making one takes a while: one for all tests.
inline RsaKey& SharedKey() {
  static RsaKey key;
  return key;
}

inline std::string RsaEncrypt(const std::string& public_pem, const std::string& plain) {
  BIO* memory = BIO_new_mem_buf(public_pem.data(), static_cast<int>(public_pem.size()));
  EVP_PKEY* key = PEM_read_bio_PUBKEY(memory, nullptr, nullptr, nullptr);
  BIO_free(memory);
  EXPECT_NE(key, nullptr) << public_pem;
  if (key == nullptr) return {};
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new(key, nullptr);
  std::string encrypted(static_cast<size_t>(EVP_PKEY_get_size(key)), '\0');
  size_t size = encrypted.size();
  EXPECT_EQ(EVP_PKEY_encrypt_init(context), 1);
  EXPECT_EQ(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING), 1);
  EXPECT_EQ(EVP_PKEY_encrypt(context, reinterpret_cast<unsigned char*>(encrypted.data()), &size,
                             AsBytes(plain).data(), plain.size()),
            1);
  EVP_PKEY_CTX_free(context);
  EVP_PKEY_free(key);
  return encrypted;
}

inline std::string XorNonce(std::string text, const Nonce& nonce) {
  for (size_t i = 0; i < text.size(); ++i) {
    text[i] = static_cast<char>(static_cast<uint8_t>(text[i]) ^ nonce[i % nonce.size()]);
  }
  return text;
}

inline std::string EncryptPassword(const std::string& public_pem, const std::string& password,
                                   const Nonce& nonce) {
  return RsaEncrypt(public_pem, XorNonce(password + '\0', nonce));
}

}  // namespace tidemark::testing
