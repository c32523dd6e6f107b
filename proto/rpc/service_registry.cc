#include "proto/rpc/service_registry.h"

namespace tidemark::rpc {
namespace {

std::string PathOf(const google::protobuf::MethodDescriptor& method) {
  return method.service()->full_name() + "/" + method.name();
}

}  // namespace

void ServiceRegistry::AddUnary(const google::protobuf::MethodDescriptor* method, Role role,
                               bool audited, Unary handler) {
  TM_CHECK(method != nullptr && !method->client_streaming() && !method->server_streaming());
  const bool added =
      methods_.try_emplace(PathOf(*method), Method{method, role, audited, std::move(handler), {}})
          .second;
  TM_CHECK(added);
}

void ServiceRegistry::AddStream(const google::protobuf::MethodDescriptor* method, Role role,
                                bool audited, Stream handler) {
  TM_CHECK(method != nullptr && !method->client_streaming() && method->server_streaming());
  const bool added =
      methods_.try_emplace(PathOf(*method), Method{method, role, audited, {}, std::move(handler)})
          .second;
  TM_CHECK(added);
}

const ServiceRegistry::Method* ServiceRegistry::Find(std::string_view path) const {
  const auto at = methods_.find(path);
  return at == methods_.end() ? nullptr : &at->second;
}

}  // namespace tidemark::rpc
