#include "tools/serve_check.h"

#include <boost/asio/ip/address.hpp>

#include "pitr/serve/rsa_key.h"
#include "pitr/serve/tls.h"

namespace tidemark {

Status CheckServe(const ServeConfig& serve) {
  if (serve.port == 0) return OkStatus();
  boost::system::error_code error;
  boost::asio::ip::make_address(serve.listen_address, error);
  if (error)
    return Status(Code::kUsage, "'" + serve.listen_address + "' is not a numeric address",
                  "serve.listen_address is such as 127.0.0.1, 0.0.0.0 or ::1");
  for (const ServeAccountConfig& account : serve.accounts) {
    TM_ASSIGN_OR_RETURN([[maybe_unused]] const std::string secret, ReadPassword(account.password));
  }
  TM_ASSIGN_OR_RETURN([[maybe_unused]] const auto tls,
                      MakeServerTls(serve.tls_certificate_file, serve.tls_key_file));
  if (serve.rsa_private_key_file.empty()) return OkStatus();
  TM_ASSIGN_OR_RETURN([[maybe_unused]] const auto key, RsaKey::Load(serve.rsa_private_key_file));
  return OkStatus();
}

}  // namespace tidemark
