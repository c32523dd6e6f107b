// What TLS needs on our side: a certificate and its key, from files or made up. Pure set-up, called
// once at the start.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>

#include "replication/base/status.h"

namespace tidemark {

// TLS 1.2 or newer. With two PEM files (chain and unencrypted key) their certificate; with neither
// a self-signed one made in memory, which encrypts but proves nothing. kUsage: one without the
// other, a file that cannot be read or used, or two that do not belong together.
Result<std::unique_ptr<boost::asio::ssl::context>> MakeServerTls(
    const std::string& certificate_file, const std::string& key_file);

}  // namespace tidemark
