#include "proto/rpc/client_tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <boost/asio/error.hpp>
#include <boost/asio/ssl/error.hpp>

namespace tidemark::rpc {
namespace {

constexpr const char* kPlainTextHint =
    "is it the server's RPC port? for one that speaks plain text, say so (--server-plaintext)";
constexpr const char* kAuthorityHint =
    "give the certificate of the authority that signed the server's (--server-ca-file)";

std::string LastOpenSslError() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = ERR_reason_error_string(code);
  return reason == nullptr ? "unknown reason" : reason;
}

bool IsAddress(const std::string& name) {
  in6_addr any{};
  return inet_pton(AF_INET, name.c_str(), &any) == 1 ||
         inet_pton(AF_INET6, name.c_str(), &any) == 1;
}

Status UseOwnCertificate(SSL_CTX* context, const ClientTlsOptions& options) {
  // Else OpenSSL would ask the terminal for a passphrase.
  SSL_CTX_set_default_passwd_cb(context, [](char*, int, int, void*) { return 0; });
  if (SSL_CTX_use_certificate_chain_file(context, options.certificate_file.c_str()) != 1)
    return Status(
        Code::kUsage,
        "client certificate " + options.certificate_file + " cannot be used: " + LastOpenSslError(),
        "a PEM file, our own certificate first");
  if (SSL_CTX_use_PrivateKey_file(context, options.key_file.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context) != 1)
    return Status(Code::kUsage,
                  "client key " + options.key_file + " cannot be used: " + LastOpenSslError(),
                  "a PEM file without a passphrase, which belongs to " + options.certificate_file);
  return OkStatus();
}

Status ExplainCertificate(long verdict, const std::string& server_name, const std::string& where) {
  std::string message = "the certificate of " + where;
  switch (verdict) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return Status(Code::kSourceRefused, message + " is not for the name '" + server_name + "'",
                    "name the server as its certificate does, or say which name to expect "
                    "(--server-name)");
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return Status(Code::kSourceRefused, message + " has expired",
                    "renew it on the server; if it is new, look at this machine's clock");
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return Status(Code::kSourceRefused, message + " is not valid yet",
                    "look at both machines' clocks");
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return Status(Code::kSourceRefused,
                    message + " is not signed by an authority we trust: " +
                        X509_verify_cert_error_string(verdict),
                    kAuthorityHint);
    default:
      return Status(Code::kSourceRefused,
                    message + " cannot be trusted: " + X509_verify_cert_error_string(verdict));
  }
}

bool IsNotTls(int reason) {
  return reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST ||
         reason == SSL_R_PACKET_LENGTH_TOO_LONG || reason == SSL_R_UNEXPECTED_MESSAGE ||
         reason == SSL_R_BAD_RECORD_TYPE || reason == SSL_R_RECORD_LENGTH_MISMATCH;
}

bool IsAboutOurCertificate(int reason) {
  // SSL_AD_REASON_OFFSET + the alert's number (RFC 8446, 6.2).
  switch (reason - SSL_AD_REASON_OFFSET) {
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
    case SSL_AD_CERTIFICATE_REQUIRED: return true;
    default: return false;
  }
}

}  // namespace

Result<std::shared_ptr<TlsContext>> MakeClientTls(const ClientTlsOptions& options) {
  auto context = std::make_shared<TlsContext>(TlsContext::tls_client);
  SSL_CTX* native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  context->set_verify_mode(boost::asio::ssl::verify_peer);
  ERR_clear_error();
  if (options.ca_file.empty()) {
    if (SSL_CTX_set_default_verify_paths(native) != 1)
      return Status(Code::kUsage,
                    "the system's certificate authorities cannot be used: " + LastOpenSslError(),
                    kAuthorityHint);
  } else if (SSL_CTX_load_verify_file(native, options.ca_file.c_str()) != 1) {
    return Status(
        Code::kUsage,
        "certificate authority " + options.ca_file + " cannot be used: " + LastOpenSslError(),
        "a PEM file of one or more certificates");
  }
  if (!options.certificate_file.empty()) TM_RETURN_IF_ERROR(UseOwnCertificate(native, options));
  ERR_clear_error();
  return context;
}

Status ExpectServer(SSL* ssl, const std::string& server_name) {
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  bool set = false;
  if (IsAddress(server_name)) {
    set = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), server_name.c_str()) == 1;
  } else {
    // SSL_set_tlsext_host_name, whose macro has a cast of the old style. It copies the name.
    std::string copy = server_name;
    set = SSL_set1_host(ssl, copy.c_str()) == 1 &&
          SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, copy.data()) == 1;
  }
  ERR_clear_error();
  if (set) return OkStatus();
  return Status(Code::kUsage, "'" + server_name + "' is not a server's name");
}

Status ExplainTlsFailure(SSL* ssl, const boost::system::error_code& error,
                         const std::string& server_name, const std::string& where) {
  const long verdict = SSL_get_verify_result(ssl);
  if (verdict != X509_V_OK) return ExplainCertificate(verdict, server_name, where);
  if (error.category() != boost::asio::error::get_ssl_category()) {
    const bool closed =
        error == boost::asio::error::eof || error == boost::asio::ssl::error::stream_truncated;
    return Status(Code::kSourceUnavailable,
                  where + (closed ? " closed the connection" : ": " + error.message()) +
                      " while TLS was being set up",
                  kPlainTextHint);
  }
  const auto code = static_cast<unsigned long>(error.value());
  const int reason = ERR_GET_REASON(code);
  if (IsNotTls(reason))
    return Status(Code::kSourceRefused, where + " does not answer in TLS", kPlainTextHint);
  const char* text = ERR_reason_error_string(code);
  const std::string why = text == nullptr ? error.message() : text;
  if (IsAboutOurCertificate(reason))
    return Status(Code::kSourceRefused, where + " does not accept our certificate: " + why,
                  "give one that its authority signed (--server-certificate-file, "
                  "--server-key-file)");
  return Status(Code::kSourceRefused, "no TLS connection to " + where + ": " + why);
}

}  // namespace tidemark::rpc
