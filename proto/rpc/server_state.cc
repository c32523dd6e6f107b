#include "proto/rpc/server_state.h"

#include <spdlog/spdlog.h>

#include <chrono>

namespace tidemark::rpc {

void ServerState::Count(const std::string& method, const std::string& code,
                        HttpLink::Time started) {
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - started;
  std::lock_guard lock(mutex);
  RpcCounters::Calls& calls_of = counters.calls[{method, code}];
  ++calls_of.count;
  calls_of.seconds += taken.count();
}

void ServerState::CountMessages(const std::string& method, uint64_t messages) {
  std::lock_guard lock(mutex);
  counters.stream_messages[method] += messages;
}

void ServerState::Audit(const AuditRecord& record) const {
  if (!options.audit) return;
  try {
    options.audit(record);
  } catch (const std::exception& error) {
    spdlog::error("the audit log did not take a call of {}: {}", record.context->method,
                  error.what());
  }
}

}  // namespace tidemark::rpc
