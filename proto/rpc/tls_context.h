// TLS for the server's side: 1.2 and later, with certificates that can be replaced while it runs.
//
// Reload reads the files anew: connections accepted from then on use what it read, those under way
// keep what they began with. Any thread may call anything.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <mutex>
#include <string>

#include "replication/base/status.h"

namespace tidemark::rpc {

struct ServerTlsFiles {
  std::string certificate_file;  // PEM, with the chain
  std::string key_file;
  // PEM; "": clients show no certificate. Else mutual TLS: theirs must be signed by one of these.
  std::string client_ca_file;
  bool client_certificate_required = true;  // false: may be missing, but not be a wrong one
};

class ServerTls {
 public:
  // kUsage: a file that cannot be read or is none such, a key that is not the certificate's.
  static Result<std::unique_ptr<ServerTls>> Load(ServerTlsFiles files);
  // The same errors; what was there stays in use.
  Status Reload();
  std::shared_ptr<boost::asio::ssl::context> current() const;

 private:
  explicit ServerTls(ServerTlsFiles files) : files_(std::move(files)) {}

  const ServerTlsFiles files_;
  mutable std::mutex mutex_;
  std::shared_ptr<boost::asio::ssl::context> context_;
};

// The subject's common name of the certificate that the peer has shown and TLS has verified; "" if
// there is none, or one with a NUL in it.
std::string PeerCommonName(SSL* ssl);

}  // namespace tidemark::rpc
