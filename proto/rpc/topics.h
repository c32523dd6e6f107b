// How waiting streams learn that something has happened to their topic.
//
// A topic's growth is a number that only goes up. A stream reads it, then looks for messages, and
// before it sleeps compares: what happened in between is a different number, so no wake-up can be
// lost. Notify and Growth are called by any thread, the rest by the io thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>

#include "proto/rpc/http_link.h"

namespace tidemark::rpc {

class Topics {
 public:
  explicit Topics(boost::asio::io_context& io) : io_(io) {}

  // Woken for as long as it exists.
  class Waiter {
   public:
    Waiter(Topics& topics, const std::string& topic, HttpLink& link);
    ~Waiter();
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;

   private:
    Topics& topics_;
    std::multimap<std::string, HttpLink*>::iterator at_;
  };

  // Memory: one entry for each topic ever notified, which our own code names, not a client.
  void Notify(const std::string& topic);
  uint64_t Growth(const std::string& topic) const;  // 0 if nothing has happened yet

 private:
  void WakeChanged();

  boost::asio::io_context& io_;
  std::multimap<std::string, HttpLink*> waiting_;  // io thread
  mutable std::mutex mutex_;
  std::unordered_map<std::string, uint64_t> growth_;
  std::set<std::string> changed_;  // WakeChanged is on its way if there are any
};

}  // namespace tidemark::rpc
