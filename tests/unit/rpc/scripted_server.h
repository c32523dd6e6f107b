// A server that does what a test tells it, byte by byte: raw sockets (or TLS over them), one script
// per connection. A script runs in a thread of its own and is given the connection as a Peer.
#pragma once

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tests/unit/rpc/test_certificates.h"

namespace tidemark::testing {

class Peer {
 public:
  Peer(int fd, SSL_CTX* tls) : fd_(fd), ssl_(tls == nullptr ? nullptr : SSL_new(tls)) {
    if (ssl_ == nullptr) return;
    SSL_set_fd(ssl_, fd_);
    secured_ = SSL_accept(ssl_) == 1;
  }
  ~Peer() {
    if (ssl_ != nullptr && secured_) SSL_shutdown(ssl_);
    SSL_free(ssl_);
    close(fd_);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  bool secured() const { return secured_; }

  // One whole request, head and body; empty if the client has gone.
  std::string ReadRequest() {
    for (;;) {
      const size_t head = received_.find("\r\n\r\n");
      if (head != std::string::npos) {
        const std::string_view mark = "Content-Length: ";
        const size_t at = received_.find(mark);
        const size_t size = head + 4 + std::stoul(received_.substr(at + mark.size()));
        if (received_.size() >= size) {
          std::string request = received_.substr(0, size);
          received_.erase(0, size);
          return request;
        }
      }
      if (!Receive()) return {};
    }
  }
  // Until the client hangs up.
  void WaitForEnd() {
    while (Receive()) received_.clear();
  }
  bool Send(std::string_view bytes) {  // false: the client has gone
    while (!bytes.empty()) {
      const ssize_t sent = ssl_ == nullptr
                               ? send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL)
                               : SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()));
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  void EndSending() { shutdown(fd_, SHUT_WR); }
  void Reset() {  // RST instead of FIN
    const linger now{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  }

 private:
  bool Receive() {
    char bytes[4096];
    const ssize_t got =
        ssl_ == nullptr ? recv(fd_, bytes, sizeof(bytes), 0) : SSL_read(ssl_, bytes, sizeof(bytes));
    if (got > 0) received_.append(bytes, static_cast<size_t>(got));
    return got > 0;
  }

  int fd_;
  SSL* ssl_;
  bool secured_ = false;
  std::string received_;
};

class ScriptedServer {
 public:
  using Script = std::function<void(Peer&)>;

  // The n-th connection gets the n-th script; those after the last get the last. `unix_path`: there
  // instead of on 127.0.0.1. `certificate`: speaks TLS; `client_authority`: wants a certificate.
  struct Options {
    std::string unix_path = {};
    const TestCertificate* certificate = nullptr;
    const TestCertificate* client_authority = nullptr;
  };
  explicit ScriptedServer(std::vector<Script> scripts, const Options& options)
      : scripts_(std::move(scripts)) {
    if (options.certificate != nullptr) SetUpTls(options);
    Listen(options.unix_path);
    acceptor_ = std::thread([this] { Accept(); });
  }
  explicit ScriptedServer(std::vector<Script> scripts) : ScriptedServer(std::move(scripts), {}) {}
  explicit ScriptedServer(Script script) : ScriptedServer(std::vector{std::move(script)}, {}) {}
  ~ScriptedServer() {
    shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    for (std::thread& thread : threads_) thread.join();
    close(listener_);
    SSL_CTX_free(tls_);
  }
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  const std::string& endpoint() const { return endpoint_; }
  int port() const { return port_; }
  int connections() const { return connections_; }

 private:
  void SetUpTls(const Options& options) {
    tls_ = SSL_CTX_new(TLS_server_method());
    TM_CHECK(SSL_CTX_use_certificate(tls_, options.certificate->certificate()) == 1);
    TM_CHECK(SSL_CTX_use_PrivateKey(tls_, options.certificate->key()) == 1);
    if (options.client_authority == nullptr) return;
    X509_STORE_add_cert(SSL_CTX_get_cert_store(tls_), options.client_authority->certificate());
    SSL_CTX_set_verify(tls_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  void Listen(const std::string& unix_path) {
    if (!unix_path.empty()) {
      listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      std::memcpy(address.sun_path, unix_path.c_str(), unix_path.size());
      TM_CHECK(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
      endpoint_ = "unix:" + unix_path;
    } else {
      listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      socklen_t size = sizeof(address);
      TM_CHECK(bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0);
      TM_CHECK(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
      port_ = ntohs(address.sin_port);
      endpoint_ = "127.0.0.1:" + std::to_string(port_);
    }
    TM_CHECK(listen(listener_, 64) == 0);
  }
  void Accept() {
    for (;;) {
      const int fd = accept(listener_, nullptr, nullptr);
      if (fd < 0) return;
      const size_t number = static_cast<size_t>(connections_++);
      const Script& script = scripts_[std::min(number, scripts_.size() - 1)];
      threads_.emplace_back([this, fd, &script] {
        Peer peer(fd, tls_);
        if (tls_ == nullptr || peer.secured()) script(peer);
      });
    }
  }

  std::vector<Script> scripts_;
  SSL_CTX* tls_ = nullptr;
  int listener_ = -1;
  int port_ = 0;
  std::string endpoint_;
  std::atomic<int> connections_ = 0;
  std::thread acceptor_;
  std::vector<std::thread> threads_;  // the acceptor's, until it has ended
};

}  // namespace tidemark::testing
