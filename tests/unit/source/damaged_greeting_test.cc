// A server's greeting as a damaged link or somebody hostile gives it: an error, and nothing worse.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "replication/source/connection.h"

namespace tidemark {
namespace {

ConnectionOptions To(uint16_t port) {
  ConnectionOptions options;
  options.host = "127.0.0.1";
  options.port = port;
  options.user = "tidemark";
  options.tls.mode = TlsMode::kDisabled;
  options.connect_timeout_s = 5;
  return options;
}

// Protocol 10 (MySQL's protocol documentation, HandshakeV10).
std::string Greeting(uint32_t capabilities) {
  const auto half = [](uint32_t value) {
    return std::string{static_cast<char>(value & 0xff), static_cast<char>(value >> 8 & 0xff)};
  };
  std::string payload =
      "\x0a" + std::string("9.7.4") + '\0' + std::string(4, '\1') + "scramble" + '\0';
  payload += half(capabilities) + '\x2d' + half(2) + half(capabilities >> 16) + '\x15';
  payload += std::string(10, '\0') + "scramblemore" + '\0' + "caching_sha2_password" + '\0';
  return std::string{static_cast<char>(payload.size()), '\0', '\0', '\0'} + payload;
}

// Gives whoever connects this greeting, and ends the connection behind what it answers.
class Greeter {
 public:
  explicit Greeter(std::string greeting) : listener_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 1), 0);
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, greeting = std::move(greeting)] {
      const int peer = accept(listener_, nullptr, nullptr);
      char answer[512];
      if (write(peer, greeting.data(), greeting.size()) > 0)
        (void)!read(peer, answer, sizeof(answer));
      close(peer);
    });
  }
  ~Greeter() {
    thread_.join();
    close(listener_);
  }
  uint16_t port() const { return port_; }

 private:
  const int listener_;
  uint16_t port_ = 0;
  std::thread thread_;
};

TEST(DamagedGreetingTest, AnyCapabilityMayBeMissingOrTooMany) {
  constexpr uint32_t kOfARealServer = 0xdfffffff;
  for (int bit = 0; bit < 32; ++bit) {
    SCOPED_TRACE(bit);
    Greeter greeter(Greeting(kOfARealServer ^ (uint32_t{1} << bit)));
    EXPECT_FALSE(Connection::Open(To(greeter.port())).ok());
  }
}

// The library takes the number from the packet, also 0, which is none.
TEST(DamagedGreetingTest, AnErrorMayHaveTheNumberZero) {
  Greeter greeter(std::string("\x0b\0\0\0\xff\0\0go away!", 15));
  const auto connection = Connection::Open(To(greeter.port()));
  ASSERT_FALSE(connection.ok());
  EXPECT_EQ(connection.error().code(), Code::kSourceUnavailable) << connection.error().message();
}

}  // namespace
}  // namespace tidemark
