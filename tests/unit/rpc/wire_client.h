// A client that says exactly what a test tells it, byte by byte: TCP, unix socket, or TLS.
// Blocking, with a time limit on everything, so that a server that says nothing fails a test and
// hangs none.
#pragma once

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cctype>
#include <cstring>
#include <map>
#include <string>
#include <string_view>

#include "replication/base/status.h"

namespace tidemark::testing {

struct WireAnswer {
  int status = 0;                              // 0: there was none
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

class WireClient {
 public:
  explicit WireClient(const std::string& address, SSL_CTX* tls = nullptr) {
    address.starts_with("unix:") ? ConnectUnix(address.substr(5)) : ConnectInternet(address);
    const timeval most{20, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof(most));
    if (!tls) return;
    ssl_ = SSL_new(tls);
    SSL_set_fd(ssl_, fd_);
    secured_ = SSL_connect(ssl_) == 1;
  }
  ~WireClient() {
    SSL_free(ssl_);
    if (fd_ >= 0) ::close(fd_);
  }
  WireClient(const WireClient&) = delete;
  WireClient& operator=(const WireClient&) = delete;

  int fd() const { return fd_; }
  bool secured() const { return secured_; }
  SSL* ssl() const { return ssl_; }

  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ssl_ ? SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()))
                                : ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  void EndSending() { ::shutdown(fd_, SHUT_WR); }

  // False: the server has closed, or says nothing for too long.
  bool ReceiveMore() {
    char bytes[16384];
    const ssize_t got =
        ssl_ ? SSL_read(ssl_, bytes, sizeof(bytes)) : ::recv(fd_, bytes, sizeof(bytes), 0);
    if (got <= 0) {
      closed_by_server_ = got == 0 || (ssl_ && errno != EAGAIN) || errno == ECONNRESET;
      return false;
    }
    received_.append(bytes, static_cast<size_t>(got));
    return true;
  }
  bool ReceiveUntil(std::string_view text) {
    while (received_.find(text) == std::string::npos) {
      if (!ReceiveMore()) return false;
    }
    return true;
  }
  // Whether the server closes, with whatever it says before.
  bool ServerCloses() {
    while (ReceiveMore()) {
    }
    return closed_by_server_;
  }
  std::string& received() { return received_; }

  WireAnswer ReadAnswer(bool head_only = false) {
    WireAnswer answer;
    if (!ReceiveUntil("\r\n\r\n")) return answer;
    std::string head = Take(received_.find("\r\n\r\n") + 4);
    answer.status = std::stoi(head.substr(9, 3));
    for (size_t at = head.find("\r\n") + 2; at + 2 < head.size();) {
      const size_t end = head.find("\r\n", at);
      const size_t colon = head.find(':', at);
      std::string name = head.substr(at, colon - at);
      for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      answer.headers[name] = head.substr(colon + 2, end - colon - 2);
      at = end + 2;
    }
    if (head_only || answer.status < 200) return answer;
    if (answer.headers.contains("content-length")) {
      answer.body = TakeExactly(std::stoul(answer.headers["content-length"]));
    } else if (answer.headers.contains("transfer-encoding")) {
      for (std::string chunk; !(chunk = ReadChunk()).empty();) answer.body += chunk;
    } else {
      ServerCloses();
      answer.body = Take(received_.size());
    }
    return answer;
  }
  // "" at the last one, or if none comes.
  std::string ReadChunk() {
    if (!ReceiveUntil("\r\n")) return {};
    const size_t size = std::stoul(Take(received_.find("\r\n") + 2), nullptr, 16);
    std::string chunk = TakeExactly(size);
    TakeExactly(2);
    return chunk;
  }

 private:
  void ConnectInternet(const std::string& address) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    const size_t colon = address.rfind(':');
    to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(colon + 1))));
    TM_CHECK(inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr) == 1);
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    TM_CHECK(::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0);
  }
  void ConnectUnix(const std::string& path) {
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    std::strncpy(to.sun_path, path.c_str(), sizeof(to.sun_path) - 1);
    fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    TM_CHECK(::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0);
  }
  std::string Take(size_t size) {
    std::string taken = received_.substr(0, size);
    received_.erase(0, size);
    return taken;
  }
  std::string TakeExactly(size_t size) {
    while (received_.size() < size && ReceiveMore()) {
    }
    return Take(size);
  }

  int fd_ = -1;
  SSL* ssl_ = nullptr;
  bool secured_ = false;
  bool closed_by_server_ = false;
  std::string received_;
};

}  // namespace tidemark::testing
