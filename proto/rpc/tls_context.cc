#include "proto/rpc/tls_context.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cstring>
#include <string_view>
#include <utility>

namespace tidemark::rpc {
namespace {

namespace ssl = boost::asio::ssl;
using Context = std::shared_ptr<ssl::context>;

// Forward secrecy and authenticated encryption only; TLS 1.3's own list is all of that kind.
constexpr const char* kCiphers12 = "ECDHE+AESGCM:ECDHE+CHACHA20";

Status Refused(const std::string& what, const std::string& file) {
  const unsigned long code = ERR_peek_last_error();
  const char* reason = code ? ERR_reason_error_string(code) : nullptr;
  Status error(Code::kUsage, "cannot use " + what + " " + file + ": " +
                                 (reason ? reason : "OpenSSL does not say why"));
  ERR_clear_error();
  return error;
}

// A client that speaks of protocols must speak of this one: there is no HTTP/2 here.
int ChooseProtocol(SSL*, const unsigned char** chosen, unsigned char* chosen_size,
                   const unsigned char* offered, unsigned int offered_size, void*) {
  static constexpr unsigned char kOurs[] = "\x08http/1.1";
  unsigned char* found = nullptr;
  const int result =
      SSL_select_next_proto(&found, chosen_size, kOurs, sizeof(kOurs) - 1, offered, offered_size);
  *chosen = found;
  return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

Status UseFiles(SSL_CTX* context, const ServerTlsFiles& files) {
  if (SSL_CTX_use_certificate_chain_file(context, files.certificate_file.c_str()) != 1)
    return Refused("certificate", files.certificate_file);
  if (SSL_CTX_use_PrivateKey_file(context, files.key_file.c_str(), SSL_FILETYPE_PEM) != 1)
    return Refused("private key", files.key_file);
  if (SSL_CTX_check_private_key(context) != 1)
    return Status(Code::kUsage, "private key " + files.key_file + " is not that of certificate " +
                                    files.certificate_file);
  if (files.client_ca_file.empty()) return OkStatus();
  const char* authorities = files.client_ca_file.c_str();
  STACK_OF(X509_NAME)* names = SSL_load_client_CA_file(authorities);
  if (names) SSL_CTX_set_client_CA_list(context, names);  // takes them
  if (!names || SSL_CTX_load_verify_locations(context, authorities, nullptr) != 1)
    return Refused("client authorities", files.client_ca_file);
  int mode = SSL_VERIFY_PEER;
  if (files.client_certificate_required) mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  SSL_CTX_set_verify(context, mode, nullptr);
  return OkStatus();
}

Result<Context> MakeContext(const ServerTlsFiles& files) {
  ERR_clear_error();
  Context context = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX* native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  // No resumption: a session could outlive its certificate. Buffers are given back between records:
  // most streams are silent most of the time.
  SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
                                  SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(native, 0);
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(native, ChooseProtocol, nullptr);
  if (SSL_CTX_set_cipher_list(native, kCiphers12) != 1)
    return Status(Code::kIo, "OpenSSL has none of the ciphers wanted");
  TM_RETURN_IF_ERROR(UseFiles(native, files));
  return context;
}

}  // namespace

Result<std::unique_ptr<ServerTls>> ServerTls::Load(ServerTlsFiles files) {
  std::unique_ptr<ServerTls> tls(new ServerTls(std::move(files)));
  TM_RETURN_IF_ERROR(tls->Reload());
  return tls;
}

Status ServerTls::Reload() {
  TM_ASSIGN_OR_RETURN(Context context, MakeContext(files_));
  std::lock_guard lock(mutex_);
  context_ = std::move(context);
  return OkStatus();
}

Context ServerTls::current() const {
  std::lock_guard lock(mutex_);
  return context_;
}

std::string PeerCommonName(SSL* ssl) {
  const std::unique_ptr<X509, void (*)(X509*)> certificate(SSL_get1_peer_certificate(ssl),
                                                           X509_free);
  if (!certificate || SSL_get_verify_result(ssl) != X509_V_OK) return {};
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0) return {};
  unsigned char* text = nullptr;
  const int size =
      ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  if (size < 0) return {};
  const std::string name(reinterpret_cast<char*>(text), static_cast<size_t>(size));
  OPENSSL_free(text);
  return name.find('\0') == std::string::npos ? name : std::string();
}

}  // namespace tidemark::rpc
