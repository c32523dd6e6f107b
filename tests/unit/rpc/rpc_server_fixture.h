// An RpcServer on test.v1.Echo (test_methods.h), for the tests of its parts.
//   Get: gives its value back; "missing": kNotFound; "throw"; "wait": until released or cancelled;
//        "stubborn": until released, whatever happens; "big:N": N bytes.
//   Set: admin, audited.
//   Follow: "N" gives N messages and ends; "fail" fails after one; "throw"; "topic" gives a message
//        for each Publish and never ends; "flood" never ends either.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "proto/rpc/envelope.h"
#include "proto/rpc/rpc_server.h"
#include "tests/unit/rpc/test_methods.h"
#include "tests/unit/rpc/wire_client.h"

namespace tidemark::testing {

using rpc::AccessList;
using rpc::CallContext;
using rpc::Message;
using rpc::MessageStream;
using rpc::Role;
using rpc::RpcServer;
using rpc::RpcServerOptions;
using State = MessageStream::State;

class RpcServerTest : public ::testing::Test {
 protected:
  RpcServerTest() {
    options_.listeners = {{"127.0.0.1:0"}};
    options_.anonymous_role = Role::kReader;
    options_.audit = [this](const rpc::AuditRecord& record) {
      std::lock_guard lock(mutex_);
      audit_.push_back(record.context->identity + " " + record.context->method +
                       (record.begins  ? " begins"
                        : record.error ? " failed"
                                       : " done") +
                       (record.request ? " with a request" : ""));
    };
  }
  ~RpcServerTest() override {
    Release();
    if (server_) server_->Stop();
  }

  void Start() {
    server_ = std::make_unique<RpcServer>(Registry(), options_);
    server_->AddPage("/healthz", Role::kNone, [] {
      return rpc::PageAnswer{200, "text/plain", "ok\n"};
    });
    server_->AddPage("/metrics", Role::kReader, [] {
      return rpc::PageAnswer{200, "text/plain", "m 1\n"};
    });
    const Status started = server_->Start();
    ASSERT_TRUE(started.ok()) << started.message();
    address_ = server_->addresses().front();
  }

  static std::string Post(const std::string& method, const std::string& body,
                          const std::string& headers = "Content-Type: application/json\r\n") {
    return "POST /test.v1.Echo/" + method + " HTTP/1.1\r\nHost: localhost\r\n" + headers +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  static std::string PostStream(const std::string& value, const std::string& headers = "") {
    std::string body;
    rpc::AppendEnvelope(0, "\"" + value + "\"", &body);
    return Post("Follow", body, "Content-Type: application/connect+json\r\n" + headers);
  }
  WireAnswer Ask(const std::string& request) const {
    WireClient client(address_);
    client.Send(request);
    return client.ReadAnswer();
  }
  // The payloads of a stream's body, the end's included.
  static std::vector<std::string> Payloads(const std::string& body) {
    rpc::EnvelopeReader reader(1 << 20);
    reader.Append(body);
    std::vector<std::string> payloads;
    for (auto next = reader.Next(); next.ok() && *next; next = reader.Next()) {
      payloads.push_back((*next)->payload);
    }
    return payloads;
  }

  void Release() {
    std::lock_guard lock(mutex_);
    released_ = true;
    changed_.notify_all();
  }
  void Publish() {
    ++published_;
    server_->Notify("topic");
  }
  void WaitFor(const std::function<bool()>& condition) {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, std::chrono::seconds(20), condition));
  }
  // Of what has no event to wait for.
  static bool Eventually(const std::function<bool()>& condition) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > until) return false;
      std::this_thread::yield();
    }
    return true;
  }

  rpc::ServiceRegistry Registry();
  Status Get(const CallContext& context, const StringValue& request, StringValue* response);

  RpcServerOptions options_;
  std::unique_ptr<RpcServer> server_;
  std::string address_;
  std::atomic<uint64_t> published_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  int waiting_ = 0;    // handlers in "wait" and "stubborn", with the mutex held
  int cancelled_ = 0;  // of those, ended by cancellation
  bool released_ = false;
  std::vector<std::string> audit_;
  std::atomic<int> streams_alive_ = 0;
  std::atomic<uint64_t> flooded_ = 0;
};

inline Status RpcServerTest::Get(const CallContext& context, const StringValue& request,
                                 StringValue* response) {
  const std::string& value = request.value();
  if (value == "missing") return Status(Code::kNotFound, "no such thing", "look elsewhere");
  if (value == "throw") throw std::runtime_error("a bug");
  if (value.starts_with("big:")) {
    response->set_value(std::string(std::stoul(value.substr(4)), 'x'));
    return OkStatus();
  }
  if (value == "wait" || value == "stubborn") {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    while (!released_) {
      changed_.wait_for(lock, std::chrono::milliseconds(1));
      if (value == "wait" && context.cancelled()) {
        ++cancelled_;
        changed_.notify_all();
        return Status(Code::kInterrupted, "cancelled");
      }
    }
  }
  *response = request;
  return OkStatus();
}

inline rpc::ServiceRegistry RpcServerTest::Registry() {
  class Follow : public MessageStream {
   public:
    Follow(std::string what, RpcServerTest& test) : what_(std::move(what)), test_(test) {
      ++test_.streams_alive_;
      seen_ = what_ == "topic" ? test_.published_.load() : 0;
    }
    ~Follow() override { --test_.streams_alive_; }
    std::string topic() const override { return what_ == "topic" ? "topic" : ""; }
    Result<State> Next(Message* message) override {
      auto* value = static_cast<StringValue*>(message);
      value->set_value(what_ == "flood" ? std::string(1024, 'x') : std::to_string(sent_));
      if (what_ == "throw") throw std::runtime_error("a bug");
      if (what_ == "flood") ++test_.flooded_;
      if (what_ == "fail" && sent_ == 1) return Status(Code::kGap, "a gap", "acknowledge it");
      if (what_ == "topic") {
        if (seen_ == test_.published_) return State::kWaiting;
        ++seen_;
      } else if (what_ != "flood" && what_ != "fail" && sent_ == std::stoul(what_)) {
        return State::kEnd;
      }
      ++sent_;
      return State::kMessage;
    }

   private:
    const std::string what_;
    RpcServerTest& test_;
    uint64_t sent_ = 0;
    uint64_t seen_ = 0;
  };
  rpc::ServiceRegistry registry;
  const auto get = rpc::Unary<StringValue, StringValue>(
      [this](const CallContext& context, const StringValue& request, StringValue* response) {
        return Get(context, request, response);
      });
  registry.AddUnary(TestMethod("Get"), Role::kReader, false, get);
  registry.AddUnary(TestMethod("Set"), Role::kAdmin, true, get);
  registry.AddStream(
      TestMethod("Follow"), Role::kReader, false,
      [this](const CallContext&, const Message& request) -> Result<std::unique_ptr<MessageStream>> {
        const std::string& what = static_cast<const StringValue&>(request).value();
        if (what == "missing") return Status(Code::kNotFound, "no such stream");
        return std::unique_ptr<MessageStream>(std::make_unique<Follow>(what, *this));
      });
  return registry;
}

}  // namespace tidemark::testing
