// Certificates for tests, made on the spot: an authority, and what it signs.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <memory>
#include <string>

#include "replication/base/status.h"

namespace tidemark::testing {

struct CertificateSpec {
  std::string common_name = "test";
  std::string alternative_names = {};  // "DNS:db.example,IP:127.0.0.1"; empty: none
  bool is_authority = false;
  long valid_from_seconds = -3600;  // from now
  long valid_to_seconds = 3600;
};

class TestCertificate {
 public:
  // Signed by `issuer`, or by itself if there is none.
  explicit TestCertificate(const CertificateSpec& spec, const TestCertificate* issuer = nullptr)
      : key_(EVP_EC_gen("P-256"), &EVP_PKEY_free), certificate_(X509_new(), &X509_free) {
    static long serial = 1;
    X509* made = certificate_.get();
    TM_CHECK(key_ && made && X509_set_version(made, 2) == 1);
    ASN1_INTEGER_set(X509_get_serialNumber(made), serial++);
    X509_gmtime_adj(X509_getm_notBefore(made), spec.valid_from_seconds);
    X509_gmtime_adj(X509_getm_notAfter(made), spec.valid_to_seconds);
    X509_set_pubkey(made, key_.get());
    X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(spec.common_name.c_str()), -1,
                               -1, 0);
    const TestCertificate& signer = issuer == nullptr ? *this : *issuer;
    X509_set_issuer_name(made, X509_get_subject_name(signer.certificate_.get()));
    Extend(NID_basic_constraints, spec.is_authority ? "critical,CA:TRUE" : "CA:FALSE");
    if (!spec.alternative_names.empty()) Extend(NID_subject_alt_name, spec.alternative_names);
    TM_CHECK(X509_sign(made, signer.key_.get(), EVP_sha256()) != 0);
  }

  X509* certificate() const { return certificate_.get(); }
  EVP_PKEY* key() const { return key_.get(); }

  void WriteCertificate(const std::string& path) const {
    FILE* file = std::fopen(path.c_str(), "w");
    TM_CHECK(file != nullptr && PEM_write_X509(file, certificate_.get()) == 1);
    std::fclose(file);
  }
  void WriteKey(const std::string& path) const {
    FILE* file = std::fopen(path.c_str(), "w");
    TM_CHECK(file != nullptr &&
             PEM_write_PrivateKey(file, key_.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
    std::fclose(file);
  }

 private:
  void Extend(int nid, const std::string& value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
    TM_CHECK(extension != nullptr && X509_add_ext(certificate_.get(), extension, -1) == 1);
    X509_EXTENSION_free(extension);
  }

  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key_;
  std::unique_ptr<X509, decltype(&X509_free)> certificate_;
};

}  // namespace tidemark::testing
