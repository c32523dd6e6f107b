// A service for tests, made at run time: test.v1.Echo, whose messages are all
// google.protobuf.StringValue. Get has no side effects; Set has; Follow is a stream. And a client
// for it.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/wrappers.pb.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "proto/rpc/rpc_client.h"

namespace tidemark::testing {

using google::protobuf::StringValue;

inline const google::protobuf::MethodDescriptor* TestMethod(const std::string& name) {
  namespace pb = google::protobuf;
  static const pb::ServiceDescriptor* const service = [] {
    (void)StringValue::descriptor();  // puts its file into the pool below
    pb::FileDescriptorProto file;
    file.set_name("test/v1/echo.proto");
    file.set_package("test.v1");
    file.set_syntax("proto3");
    file.add_dependency("google/protobuf/wrappers.proto");
    pb::ServiceDescriptorProto* echo = file.add_service();
    echo->set_name("Echo");
    for (const char* method_name : {"Get", "Set", "Follow"}) {
      pb::MethodDescriptorProto* method = echo->add_method();
      method->set_name(method_name);
      method->set_input_type(".google.protobuf.StringValue");
      method->set_output_type(".google.protobuf.StringValue");
      method->set_server_streaming(std::string(method_name) == "Follow");
      if (std::string(method_name) != "Set")
        method->mutable_options()->set_idempotency_level(pb::MethodOptions::NO_SIDE_EFFECTS);
    }
    static pb::DescriptorPool pool(pb::DescriptorPool::generated_pool());
    const pb::FileDescriptor* built = pool.BuildFile(file);
    TM_CHECK(built != nullptr);
    return built->service(0);
  }();
  const auto* method = service->FindMethodByName(name);
  TM_CHECK(method != nullptr);
  return method;
}

inline StringValue Text(const std::string& text) {
  StringValue value;
  value.set_value(text);
  return value;
}

inline std::unique_ptr<rpc::RpcClient> ClientOf(const rpc::RpcClientOptions& options) {
  auto client = rpc::RpcClient::Create(options);
  EXPECT_TRUE(client.ok()) << client.error().message();
  return std::move(*client);
}

}  // namespace tidemark::testing
