// The access file, and who is found in it.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>

#include "proto/rpc/auth.h"
#include "proto/rpc/call_head.h"
#include "tests/support/temp_dir.h"

namespace tidemark::rpc {
namespace {

using ::testing::HasSubstr;

Credentials Bearer(const std::string& token) { return {"Bearer " + token, "", Role::kNone}; }

AccessList Parsed(const std::string& text) {
  auto list = AccessList::Parse(text, "access");
  EXPECT_TRUE(list.ok()) << list.error().message();
  return *list;
}

TEST(Auth, TokensAreLongAndNeverTheSame) {
  const std::string token = NewToken();
  EXPECT_EQ(token.size(), 3u + 64u);
  EXPECT_NE(token, NewToken());
  const AccessList list = Parsed("x reader " + TokenHash(token) + "\n");
  EXPECT_EQ(list.Identify(Bearer(token))->identity, "x");
}

TEST(Auth, TheHashIsPlainSha256) {
  EXPECT_EQ(TokenHash("abc"),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Auth, CommentsBlankLinesAndWindowsEndsAreRead) {
  const AccessList list =
      Parsed("# who\r\n\r\n  ci\t restorer   " + TokenHash("t") + "\r\nweb reader cn:web server 1");
  EXPECT_EQ(list.Identify(Bearer("t"))->role, Role::kRestorer);
  EXPECT_EQ(list.Identify({std::nullopt, "web server 1", Role::kNone})->identity, "web");
}

TEST(Auth, WrongLinesAreNamed) {
  const std::string good = "a reader " + TokenHash("t") + "\n";
  for (const std::string& line :
       {std::string("b"), std::string("b reader"), std::string("b none ") + TokenHash("u"),
        std::string("b boss ") + TokenHash("u"), std::string("b reader sha256:12"),
        std::string("b reader sha256:") + std::string(64, 'g'), std::string("b reader tm_secret"),
        std::string("b reader cn:"), "b admin " + TokenHash("t"), TokenHash("u") + " x"}) {
    const auto list = AccessList::Parse(good + "\n" + line + "\n", "access");
    ASSERT_FALSE(list.ok()) << line;
    EXPECT_THAT(list.error().message(), HasSubstr("access, line 3: "));
    EXPECT_EQ(list.error().message().find("tm_secret"), std::string::npos);
  }
}

TEST(Auth, ATokenThatIsShownMustBeRightWhateverElseIsShown) {
  const AccessList list = Parsed("a reader " + TokenHash("t") + "\nb admin cn:host\n");
  EXPECT_FALSE(list.Identify({"Bearer wrong", "host", Role::kReader}));
  EXPECT_FALSE(list.Identify({"Bearer", "host", Role::kReader}));
  EXPECT_FALSE(list.Identify({"", "host", Role::kReader}));
  EXPECT_EQ(list.Identify({"bEaReR  t ", "host", Role::kNone})->identity, "a");
  EXPECT_EQ(list.Identify({std::nullopt, "host", Role::kNone})->identity, "b");
  EXPECT_EQ(list.Identify({std::nullopt, "other", Role::kReader})->identity, "anonymous");
}

// A zero digest must not match the entries that have none.
TEST(Auth, ACertificatesEntryHasNoToken) {
  const AccessList list = Parsed("b admin cn:host\n");
  EXPECT_FALSE(list.StillHas(Caller{"x", Role::kReader, std::string(32, '\0'), ""}));
}

TEST(Auth, RevokedAndLoweredCallersAreNoticed) {
  const Caller caller = *Parsed("a admin " + TokenHash("t") + "\n").Identify(Bearer("t"));
  EXPECT_TRUE(Parsed("z admin " + TokenHash("t") + "\n").StillHas(caller));
  EXPECT_FALSE(Parsed("a reader " + TokenHash("t") + "\n").StillHas(caller));
  EXPECT_FALSE(Parsed("a admin " + TokenHash("u") + "\n").StillHas(caller));
}

TEST(Auth, RolesIncludeThoseBefore) {
  const Caller restorer{"r", Role::kRestorer, std::string(32, 'x'), ""};
  EXPECT_FALSE(Refuse(restorer, Role::kReader));
  EXPECT_EQ(Refuse(restorer, Role::kAdmin)->code, RpcCode::kPermissionDenied);
  EXPECT_EQ(Refuse(Caller{}, Role::kReader)->code, RpcCode::kUnauthenticated);
  EXPECT_FALSE(Refuse(Caller{}, Role::kNone));
}

TEST(Auth, AFileThatAnybodyCanChangeIsRefused) {
  const testing::TempDir dir;
  const std::string file = dir.Path("access");
  EXPECT_EQ(AccessList::Load(file).error().code(), Code::kUsage);
  std::ofstream(file) << "a reader " << TokenHash("t") << "\n";
  ASSERT_EQ(::chmod(file.c_str(), 0640), 0);
  EXPECT_TRUE(AccessList::Load(file).ok());
  ASSERT_EQ(::chmod(file.c_str(), 0646), 0);
  EXPECT_EQ(AccessList::Load(file).error().code(), Code::kUsage);
  EXPECT_EQ(AccessList::Load(dir.path()).error().code(), Code::kUsage);
}

TEST(Auth, OnlyThisMachinesNamesAreLocal) {
  for (const char* host : {"localhost", "localhost:80", "127.0.0.1:7946", "[::1]:1", "10.0.0.1"}) {
    EXPECT_TRUE(IsLocalHostName(host)) << host;
  }
  for (const char* host : {"", "evil.example", "127.0.0.1.evil.example", "localhost.evil:80"}) {
    EXPECT_FALSE(IsLocalHostName(host)) << host;
  }
}

}  // namespace
}  // namespace tidemark::rpc
