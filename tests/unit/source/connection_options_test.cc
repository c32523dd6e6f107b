#include "replication/source/connection_options.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "replication/base/secret_file.h"
#include "tests/support/temp_dir.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class PasswordFile : public ::testing::Test {
 protected:
  std::string Write(const std::string& contents, mode_t mode = 0600) {
    std::string path = directory_.Path("password");
    std::ofstream(path, std::ios::binary) << contents;
    chmod(path.c_str(), mode);
    return path;
  }
  static Result<std::string> Read(const std::string& path) {
    return ReadPassword({.file = path, .environment_variable = ""});
  }

  testing::TempDir directory_;
};

TEST_F(PasswordFile, GivesItsFirstLineWithoutTheNewline) {
  EXPECT_EQ(Read(Write("s3cret\nsecond line\n")).value(), "s3cret");
}

TEST_F(PasswordFile, NeedsNoNewlineAtItsEnd) { EXPECT_EQ(Read(Write("s3cret")).value(), "s3cret"); }

TEST_F(PasswordFile, LosesACarriageReturnToo) {
  EXPECT_EQ(Read(Write("s3cret\r\n")).value(), "s3cret");
}

TEST_F(PasswordFile, KeepsBlanksAndQuotes) {
  EXPECT_EQ(Read(Write(" a 'b\" \n")).value(), " a 'b\" ");
}

TEST_F(PasswordFile, ReadableByEveryoneIsRefusedWithAHint) {
  std::string path = Write("s3cret\n", 0644);
  Result<std::string> read = Read(path);
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().code(), Code::kUsage);
  EXPECT_THAT(read.error().message(), HasSubstr(path));
  EXPECT_EQ(read.error().hint(), "chmod 600 " + path);
}

TEST_F(PasswordFile, WritableByEveryoneIsRefused) { EXPECT_FALSE(Read(Write("x", 0602)).ok()); }

TEST_F(PasswordFile, ReadableByItsGroupIsAccepted) {
  EXPECT_EQ(Read(Write("s3cret\n", 0640)).value(), "s3cret");
}

TEST_F(PasswordFile, EmptyFirstLineIsRefused) {
  EXPECT_EQ(Read(Write("\ns3cret\n")).error().code(), Code::kUsage);
  EXPECT_EQ(Read(Write("")).error().code(), Code::kUsage);
}

TEST_F(PasswordFile, OfMoreThanTheLimitIsRefusedWithoutQuotingIt) {
  Result<std::string> read = Read(Write(std::string(kSecretFileBytesMax + 1, 'q')));
  ASSERT_FALSE(read.ok());
  EXPECT_THAT(read.error().message(), Not(HasSubstr("qqq")));
}

TEST_F(PasswordFile, OfExactlyTheLimitIsRead) {
  EXPECT_EQ(Read(Write(std::string(kSecretFileBytesMax, 'q'))).value().size(), kSecretFileBytesMax);
}

TEST_F(PasswordFile, MissingIsAUsageErrorThatNamesIt) {
  Result<std::string> read = Read(directory_.Path("absent"));
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().code(), Code::kUsage);
  EXPECT_THAT(read.error().message(), HasSubstr(directory_.Path("absent")));
}

TEST_F(PasswordFile, ThatIsAFifoOrADirectoryIsRefusedAndDoesNotHang) {
  std::string fifo = directory_.Path("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_EQ(Read(fifo).error().code(), Code::kUsage);
  EXPECT_EQ(Read(directory_.path()).error().code(), Code::kUsage);
}

TEST(PasswordVariable, IsReadByItsName) {
  setenv("TIDEMARK_TEST_PASSWORD", "from env", 1);
  EXPECT_EQ(ReadPassword({.file = "", .environment_variable = "TIDEMARK_TEST_PASSWORD"}).value(),
            "from env");
  unsetenv("TIDEMARK_TEST_PASSWORD");
  Result<std::string> read =
      ReadPassword({.file = "", .environment_variable = "TIDEMARK_TEST_PASSWORD"});
  ASSERT_FALSE(read.ok());
  EXPECT_THAT(read.error().message(), HasSubstr("TIDEMARK_TEST_PASSWORD"));
}

TEST(PasswordSource, OfNothingIsTheEmptyPassword) { EXPECT_EQ(ReadPassword({}).value(), ""); }

ConnectionOptions Tcp() {
  ConnectionOptions options;
  options.host = "db1.example.net";
  options.user = "archiver";
  return options;
}

TEST(ConnectionOptions, OfHostAndUserAreEnough) { EXPECT_TRUE(ValidateOptions(Tcp()).ok()); }

TEST(ConnectionOptions, NeedExactlyOneOfHostAndSocket) {
  ConnectionOptions both = Tcp();
  both.socket = "/run/mysqld.sock";
  EXPECT_EQ(ValidateOptions(both).code(), Code::kUsage);
  ConnectionOptions neither = Tcp();
  neither.host.clear();
  EXPECT_EQ(ValidateOptions(neither).code(), Code::kUsage);
}

TEST(ConnectionOptions, RefuseWhatCannotWork) {
  ConnectionOptions options = Tcp();
  options.user.clear();
  EXPECT_EQ(ValidateOptions(options).code(), Code::kUsage);
  options = Tcp();
  options.port = 0;
  EXPECT_EQ(ValidateOptions(options).code(), Code::kUsage);
  options = Tcp();
  options.connect_timeout_s = 0;
  EXPECT_EQ(ValidateOptions(options).code(), Code::kUsage);
  options = Tcp();
  options.password = {.file = "/a", .environment_variable = "B"};
  EXPECT_EQ(ValidateOptions(options).code(), Code::kUsage);
}

TEST(ConnectionOptions, VerifyingTlsNeedsACa) {
  for (TlsMode mode : {TlsMode::kVerifyCa, TlsMode::kVerifyIdentity}) {
    ConnectionOptions options = Tcp();
    options.tls.mode = mode;
    EXPECT_EQ(ValidateOptions(options).code(), Code::kUsage);
    options.tls.ca_file = "/dev/null";
    EXPECT_TRUE(ValidateOptions(options).ok());
  }
}

TEST(ConnectionOptions, CertificateAndKeyGoTogetherAndMustBeReadable) {
  ConnectionOptions options = Tcp();
  options.tls.certificate_file = "/dev/null";
  EXPECT_EQ(ValidateOptions(options).code(), Code::kUsage);
  options.tls.key_file = "/dev/null";
  EXPECT_TRUE(ValidateOptions(options).ok());
  options.tls.key_file = "/no/such/key.pem";
  EXPECT_THAT(ValidateOptions(options).message(), HasSubstr("/no/such/key.pem"));
}

TEST(ConnectionOptions, EndpointNamesUserAndPlace) {
  ConnectionOptions options = Tcp();
  EXPECT_EQ(options.Endpoint(), "archiver@db1.example.net:3306");
  options.host = "fe80::1";
  EXPECT_EQ(options.Endpoint(), "archiver@[fe80::1]:3306");
  options.host.clear();
  options.socket = "/run/mysqld.sock";
  EXPECT_EQ(options.Endpoint(), "archiver@/run/mysqld.sock");
}

TEST(ServerPublicKey, IsFetchedUnaskedOnlyWhereNobodyIsInBetween) {
  ConnectionOptions options = Tcp();
  EXPECT_FALSE(MayFetchServerPublicKey(options));
  for (const char* host : {"localhost", "127.0.0.1", "127.8.9.10", "::1"}) {
    options.host = host;
    EXPECT_TRUE(MayFetchServerPublicKey(options)) << host;
  }
  // A name that only looks like a loopback address is resolved by somebody.
  for (const char* host : {"127.0.0.1.example.net", "10.0.0.1", "localhost.example.net", "::2"}) {
    options.host = host;
    EXPECT_FALSE(MayFetchServerPublicKey(options)) << host;
  }
  options.get_server_public_key = true;
  EXPECT_TRUE(MayFetchServerPublicKey(options));
  options.host = "127.0.0.1";
  options.get_server_public_key = false;
  EXPECT_FALSE(MayFetchServerPublicKey(options));
}

TEST(TlsModes, HaveNamesThatParseBack) {
  for (TlsMode mode : {TlsMode::kDisabled, TlsMode::kPreferred, TlsMode::kRequired,
                       TlsMode::kVerifyCa, TlsMode::kVerifyIdentity}) {
    EXPECT_EQ(ParseTlsMode(TlsModeName(mode)).value(), mode);
  }
  EXPECT_EQ(ParseTlsMode("VERIFY").error().code(), Code::kUsage);
  EXPECT_EQ(ParseTlsMode("").error().code(), Code::kUsage);
}

TEST(ReadTimeout, IsThreeHeartbeatsRoundedUpAndNeverZero) {
  EXPECT_EQ(ReadTimeoutSeconds(1000), 1u);
  EXPECT_EQ(ReadTimeoutSeconds(333'333), 1u);
  EXPECT_EQ(ReadTimeoutSeconds(333'334), 2u);
  EXPECT_EQ(ReadTimeoutSeconds(1'000'000), 3u);
  EXPECT_EQ(ReadTimeoutSeconds(30'000'000), 90u);
  EXPECT_GE(ReadTimeoutSeconds(0), 1u);
  EXPECT_EQ(ReadTimeoutSeconds(INT64_MAX), 3u * 86'400u);
}

}  // namespace
}  // namespace tidemark
