// The client's side of TLS: whom it trusts, what it shows of itself, and what exactly was wrong
// when a handshake failed.
//
// A context belongs to one client and is read-only once made.
#pragma once

#include <openssl/ssl.h>

#include <boost/asio/ssl/context.hpp>
#include <boost/system/error_code.hpp>
#include <memory>
#include <string>

#include "proto/rpc/rpc_client_options.h"
#include "replication/base/status.h"

namespace tidemark::rpc {

using TlsContext = boost::asio::ssl::context;

// TLS 1.2 and up, the peer's chain always verified. kUsage if a file cannot be used.
Result<std::shared_ptr<TlsContext>> MakeClientTls(const ClientTlsOptions& options);

// For one connection: the certificate must be for `server_name` (a DNS name or an IP address),
// which is also told to the server. kUsage if that is no name.
Status ExpectServer(SSL* ssl, const std::string& server_name);

// What a failed handshake (or a TLS error later) means. kSourceRefused, or kSourceUnavailable if
// the connection just broke. `where`: "127.0.0.1:8443".
Status ExplainTlsFailure(SSL* ssl, const boost::system::error_code& error,
                         const std::string& server_name, const std::string& where);

}  // namespace tidemark::rpc
