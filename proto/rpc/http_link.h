// One client's connection: TCP or a unix socket, and from StartTls on over TLS. Everything happens
// on the io thread.
//
// Reading is ahead of what is asked for, by a little: so a peer that leaves is noticed while its
// call is being worked on, and what a pipelining one sends meanwhile is kept for later. A peer that
// only ends its half of the connection has gone, too (nothing tells the two apart), but may still
// get its answer. Every other way of ending early (a deadline, the server's stop) is Close: what is
// under way ends with the reason given first. Nothing throws.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "proto/rpc/tls_stream.h"
#include "replication/base/status.h"

namespace tidemark::rpc {

inline constexpr size_t kReadBytes = 4 << 10;       // at a time, of a head
inline constexpr size_t kReadBodyBytes = 64 << 10;  // and of a body
inline constexpr size_t kReadAheadMax = 64 << 10;   // of requests behind the one that is served

// Bytes that went over the wire (in TLS: inside it).
struct LinkBytes {
  std::atomic<uint64_t> in = 0;
  std::atomic<uint64_t> out = 0;
};

class HttpLink : public std::enable_shared_from_this<HttpLink> {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;
  using Time = std::chrono::steady_clock::time_point;

  // Closes the link for `reason`, unless it is destroyed before.
  class Deadline {
   public:
    Deadline(HttpLink& link, std::chrono::milliseconds after, Status reason);

   private:
    std::shared_ptr<bool> wanted_;  // the timer's handler may already be on its way
    boost::asio::steady_timer timer_;
  };

  HttpLink(Socket socket, std::chrono::milliseconds stalled_max, LinkBytes& bytes);

  const std::string& peer() const { return peer_; }  // "host:port" or "unix"
  bool on_this_machine() const { return on_this_machine_; }
  bool is_unix() const { return is_unix_; }
  const std::string& common_name() const { return common_name_; }
  bool open() const { return closed_.ok(); }
  const Status& why_closed() const { return closed_; }
  void Close(Status reason);

  boost::asio::awaitable<Status> StartTls(std::shared_ptr<boost::asio::ssl::context> context);

  // What has come and is not taken yet.
  std::string& input() { return input_; }
  bool input_ended() const { return input_ended_; }
  // Until there is more input. kEndOfData: there will be none.
  boost::asio::awaitable<Status> Fill(size_t bytes_max);
  // Reads on while a call is served; `gone` is set once the peer has left, or at Close.
  void Watch(std::shared_ptr<std::atomic<bool>> gone);
  void Unwatch() { gone_.reset(); }
  // Whether a request is being served.
  bool busy() const { return busy_; }
  void SetBusy(bool busy) { busy_ = busy; }

  // `bytes` must stay until it is done.
  boost::asio::awaitable<Status> Write(std::string_view bytes);
  // Until `time`, Wake, Close, or input.
  boost::asio::awaitable<void> WaitUntil(Time time);
  void Wake() { alarm_.cancel(); }
  // Tells whoever works for this peer to give up, and wakes who waits for it.
  void Cancel();

  // Ends a conversation so that our last words arrive: a socket closed with unread bytes in it
  // takes back what it sent.
  boost::asio::awaitable<void> Finish();

 private:
  boost::asio::awaitable<void> AnswerInPlainText();
  void Read(size_t bytes_max);
  void OnRead(const boost::system::error_code& error, size_t size);
  Status Settle(const boost::system::error_code& error);

  Socket socket_;
  std::shared_ptr<boost::asio::ssl::context> context_;
  std::optional<TlsStream> tls_;
  boost::asio::steady_timer alarm_;
  const std::chrono::milliseconds stalled_max_;
  LinkBytes& bytes_;
  std::string peer_;
  std::string common_name_;
  bool on_this_machine_ = false;
  bool is_unix_ = false;
  Status closed_;
  std::string input_;
  std::string arriving_;  // where the read under way puts what comes
  bool reading_ = false;
  bool input_ended_ = false;
  bool busy_ = false;
  std::shared_ptr<std::atomic<bool>> gone_;
};

}  // namespace tidemark::rpc
