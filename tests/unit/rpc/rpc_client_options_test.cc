#include "proto/rpc/rpc_client_options.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>

#include "proto/rpc/rpc_client.h"
#include "tests/support/temp_dir.h"

namespace tidemark::rpc {
namespace {

TEST(RpcEndpoint, TakesHostsAddressesAndSockets) {
  for (const char* text : {"db.example:7946", "10.0.0.1:1", "[::1]:65535", "localhost:80",
                           "unix:/run/tidemark.sock"}) {
    const auto endpoint = ParseEndpoint(text);
    ASSERT_TRUE(endpoint.ok()) << text;
    EXPECT_EQ(endpoint->Text(), text);
  }
  EXPECT_EQ(ParseEndpoint("[::1]:9")->host, "::1");
  EXPECT_EQ(ParseEndpoint("[::1]:9")->Authority(), "[::1]:9");
  EXPECT_EQ(ParseEndpoint("unix:/a")->Authority(), "localhost");
}

TEST(RpcEndpoint, RefusesWhatIsNone) {
  const std::string long_path = "unix:/" + std::string(200, 'x');
  for (const std::string& text :
       {std::string(), std::string("db.example"), std::string("db.example:"), std::string(":80"),
        std::string("a:0"), std::string("a:65536"), std::string("a:-1"), std::string("a:1x"),
        std::string("::1:80"), std::string("[a]:80"), std::string("[]:80"), std::string("a b:80"),
        std::string("https://a:80"), std::string("me@a:80"), std::string("a\r\nX:80"),
        std::string("unix:"), std::string("unix:relative"), long_path,
        std::string(300, 'a') + ":80"}) {
    const auto endpoint = ParseEndpoint(text);
    ASSERT_FALSE(endpoint.ok()) << text;
    EXPECT_EQ(endpoint.error().code(), Code::kUsage);
  }
}

bool TlsFor(const std::string& text, const ClientTlsOptions& tls = {}) {
  RpcClientOptions options;
  options.endpoint = text;
  options.tls = tls;
  return UsesTls(options, *ParseEndpoint(text));
}

TEST(RpcClientOptions, PlainTextStaysOnThisMachineUnlessTold) {
  for (const char* here : {"localhost:1", "127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "unix:/s"})
    EXPECT_FALSE(TlsFor(here)) << here;
  for (const char* there : {"10.0.0.1:1", "db.example:1", "localhost.example:1", "0.0.0.0:1",
                            "[::2]:1", "127.0.0.1.example:1"})
    EXPECT_TRUE(TlsFor(there)) << there;
  EXPECT_TRUE(TlsFor("127.0.0.1:1", {.ca_file = "ca.pem"}));
  EXPECT_TRUE(TlsFor("127.0.0.1:1", {.use = TlsUse::kOn}));
  EXPECT_FALSE(TlsFor("db.example:1", {.use = TlsUse::kOff}));
}

TEST(RpcClientOptions, NamesWhatContradicts) {
  RpcClientOptions good;
  good.endpoint = "localhost:1";
  ASSERT_TRUE(ValidateOptions(good).ok());
  const auto refused = [&good](auto change) {
    RpcClientOptions options = good;
    change(options);
    return ValidateOptions(options).code() == Code::kUsage;
  };
  EXPECT_TRUE(refused([](auto& o) { o.endpoint = "nonsense"; }));
  EXPECT_TRUE(refused([](auto& o) { o.tls.certificate_file = "c"; }));
  EXPECT_TRUE(refused([](auto& o) { o.tls.key_file = "k"; }));
  EXPECT_TRUE(refused([](auto& o) {
    o.tls.ca_file = "c";
    o.tls.use = TlsUse::kOff;
  }));
  EXPECT_TRUE(refused([](auto& o) {
    o.token.file = "f";
    o.token.environment_variable = "V";
  }));
  EXPECT_TRUE(refused([](auto& o) {
    o.endpoint = "unix:/s";
    o.tls.ca_file = "c";
  }));
  EXPECT_TRUE(refused([](auto& o) { o.connect_timeout = std::chrono::milliseconds(0); }));
  EXPECT_TRUE(refused([](auto& o) { o.default_deadline = std::chrono::milliseconds(-1); }));
  EXPECT_TRUE(refused([](auto& o) { o.message_bytes_max = 0; }));
  EXPECT_TRUE(refused([](auto& o) { o.retry.attempts_max = 0; }));
}

class TokenFile : public ::testing::Test {
 protected:
  std::string Write(const std::string& contents, mode_t mode = 0600) {
    const std::string path = dir_.Path("token");
    std::ofstream(path, std::ios::trunc) << contents;
    EXPECT_EQ(chmod(path.c_str(), mode), 0);
    return path;
  }
  testing::TempDir dir_;
};

TEST_F(TokenFile, ItsFirstLineIsTheToken) {
  for (const char* contents : {"abc", "abc\n", "abc\r\n", "abc\nmore\n"}) {
    const auto token = ReadToken({Write(contents), ""});
    ASSERT_TRUE(token.ok()) << token.error().message();
    EXPECT_EQ(*token, "abc");
  }
  EXPECT_EQ(*ReadToken({}), "");
}

TEST_F(TokenFile, WhatIsUnfitIsRefusedAndNeverTold) {
  for (const std::string& contents :
       {std::string(), std::string("\nabc"), std::string("s3 cret"), std::string("s3cret\x01"),
        std::string("s3cret\rX: y"), std::string(5000, 's')}) {
    const auto token = ReadToken({Write(contents), ""});
    ASSERT_FALSE(token.ok()) << contents;
    EXPECT_EQ(token.error().code(), Code::kUsage);
    EXPECT_EQ(token.error().message().find("s3"), std::string::npos);
  }
  EXPECT_FALSE(ReadToken({Write("abc", 0644), ""}).ok());
  EXPECT_FALSE(ReadToken({Write("abc", 0602), ""}).ok());
  EXPECT_FALSE(ReadToken({dir_.Path("missing"), ""}).ok());
  EXPECT_FALSE(ReadToken({dir_.path(), ""}).ok());
}

TEST_F(TokenFile, OrTheEnvironmentHasIt) {
  setenv("TIDEMARK_TEST_TOKEN", "abc", 1);
  EXPECT_EQ(*ReadToken({"", "TIDEMARK_TEST_TOKEN"}), "abc");
  unsetenv("TIDEMARK_TEST_TOKEN");
  EXPECT_FALSE(ReadToken({"", "TIDEMARK_TEST_TOKEN"}).ok());
}

TEST_F(TokenFile, FilesOfTlsThatCannotBeUsedAreNamed) {
  RpcClientOptions options;
  options.endpoint = "localhost:1";
  options.tls.ca_file = Write("no certificate");
  const auto bad_authority = RpcClient::Create(options);
  ASSERT_FALSE(bad_authority.ok());
  EXPECT_EQ(bad_authority.error().code(), Code::kUsage);
  EXPECT_NE(bad_authority.error().message().find(options.tls.ca_file), std::string::npos);
  options.tls.ca_file.clear();
  options.tls.certificate_file = options.tls.key_file = dir_.Path("token");
  EXPECT_FALSE(RpcClient::Create(options).ok());
}

}  // namespace
}  // namespace tidemark::rpc
