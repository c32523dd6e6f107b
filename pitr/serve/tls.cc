#include "pitr/serve/tls.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <utility>

namespace tidemark {
namespace {

using Context = boost::asio::ssl::context;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

constexpr long kValidFromSeconds = -24L * 3600;  // clocks differ
constexpr long kValidToSeconds = 10L * 365 * 24 * 3600;
constexpr const char* kCommonName = "Tidemark self-signed";

std::string LastOpenSslError() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = ERR_reason_error_string(code);
  return reason == nullptr ? "unknown reason" : reason;
}

bool SetName(X509* certificate) {
  X509_NAME* name = X509_get_subject_name(certificate);
  const auto* text = reinterpret_cast<const unsigned char*>(kCommonName);
  return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, text, -1, -1, 0) == 1 &&
         X509_set_issuer_name(certificate, name) == 1;
}

// P-256: made and signed with in well under a millisecond, so that logins do not hold up the
// thread.
Status UseSelfSigned(SSL_CTX* context) {
  const Key key(EVP_EC_gen("P-256"), &EVP_PKEY_free);
  const Certificate certificate(X509_new(), &X509_free);
  const bool made =
      key && certificate && X509_set_version(certificate.get(), 2) == 1 &&
      ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1) == 1 &&
      X509_gmtime_adj(X509_getm_notBefore(certificate.get()), kValidFromSeconds) != nullptr &&
      X509_gmtime_adj(X509_getm_notAfter(certificate.get()), kValidToSeconds) != nullptr &&
      X509_set_pubkey(certificate.get(), key.get()) == 1 && SetName(certificate.get()) &&
      X509_sign(certificate.get(), key.get(), EVP_sha256()) != 0 &&
      SSL_CTX_use_certificate(context, certificate.get()) == 1 &&
      SSL_CTX_use_PrivateKey(context, key.get()) == 1;
  if (made) return OkStatus();
  return Status(Code::kIo, "no self-signed certificate could be made: " + LastOpenSslError());
}

Status UseFiles(SSL_CTX* context, const std::string& certificate_file,
                const std::string& key_file) {
  // Else OpenSSL would ask the terminal for a passphrase.
  SSL_CTX_set_default_passwd_cb(context, [](char*, int, int, void*) { return 0; });
  if (SSL_CTX_use_certificate_chain_file(context, certificate_file.c_str()) != 1)
    return Status(Code::kUsage,
                  "TLS certificate " + certificate_file + " cannot be used: " + LastOpenSslError(),
                  "a PEM file, the server's own certificate first");
  if (SSL_CTX_use_PrivateKey_file(context, key_file.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context) != 1)
    return Status(Code::kUsage, "TLS key " + key_file + " cannot be used: " + LastOpenSslError(),
                  "a PEM file without a passphrase, which belongs to " + certificate_file);
  return OkStatus();
}

}  // namespace

Result<std::unique_ptr<Context>> MakeServerTls(const std::string& certificate_file,
                                               const std::string& key_file) {
  if (certificate_file.empty() != key_file.empty())
    return Status(Code::kUsage, "a TLS certificate and its key go together",
                  "give both files, or neither to have a self-signed certificate made");
  auto context = std::make_unique<Context>(Context::tls_server);
  SSL_CTX* native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  TM_RETURN_IF_ERROR(certificate_file.empty() ? UseSelfSigned(native)
                                              : UseFiles(native, certificate_file, key_file));
  return context;
}

}  // namespace tidemark
