// One client's connection as packets: over TCP, and from StartTls on over TLS. Everything happens
// on the io thread. One read and one write may be under way at a time.
//
// Every way of ending a connection early (a deadline, the server's stop, a peer that leaves while
// we only write) is Close: what is under way ends with the reason given first. Errors of the peer's
// going away are kEndOfData; its nonsense is kCorruption; nothing throws.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pitr/serve/packet.h"
#include "replication/base/status.h"

namespace tidemark {

class PacketLink : public std::enable_shared_from_this<PacketLink> {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  using Time = std::chrono::steady_clock::time_point;

  // Closes the link for `reason`, unless it is destroyed before.
  class Deadline {
   public:
    Deadline(PacketLink& link, std::chrono::milliseconds after, Status reason);

   private:
    std::shared_ptr<bool> wanted_;  // the timer's handler may already be on its way
    boost::asio::steady_timer timer_;
  };

  PacketLink(Socket socket, std::chrono::milliseconds stalled_max);

  const std::string& peer() const { return peer_; }  // "host:port"
  bool in_tls() const { return tls_.has_value(); }
  bool open() const { return closed_.ok(); }
  const Status& why_closed() const { return closed_; }
  void Close(Status reason);

  // The whole of one packet and not a byte more. A command begins a new sequence, an answer goes on
  // with it. kCorruption: out of order; kUsage: longer than `bytes_max`, and left unread.
  enum class Begin : uint8_t { kCommand, kAnswer };
  boost::asio::awaitable<Result<std::string>> ReadPacket(Begin begin, size_t bytes_max);
  // Payloads as packets, in sequence behind what was read last.
  boost::asio::awaitable<Status> Send(std::vector<std::string> payloads);
  // Packets made by somebody else. `bytes` must stay until it is done.
  boost::asio::awaitable<Status> Write(std::string_view bytes);
  uint8_t sequence() const { return sequence_; }  // of the packet that Send begins with

  boost::asio::awaitable<Status> StartTls(boost::asio::ssl::context& context);

  // From here on the peer has nothing to say: the link closes when it leaves or says anything.
  void CloseWhenPeerStirs();
  // Until `time`, Wake or Close.
  boost::asio::awaitable<void> WaitUntil(Time time);
  void Wake() { alarm_.cancel(); }

  // Ends a conversation so that our last words arrive: a socket closed with unread bytes in it
  // takes back what it sent.
  boost::asio::awaitable<void> Finish();

 private:
  template <typename Operation>
  boost::asio::awaitable<Status> OnStream(Operation operation);
  boost::asio::awaitable<Status> ReadExactly(void* to, size_t size);
  Status Settle(const boost::system::error_code& error);

  Socket socket_;
  std::optional<boost::asio::ssl::stream<Socket&>> tls_;
  boost::asio::steady_timer alarm_;
  const std::chrono::milliseconds stalled_max_;
  std::string peer_;
  Status closed_;
  uint8_t sequence_ = 0;
  bool watched_ = false;
  uint8_t stirred_ = 0;
};

}  // namespace tidemark
