// The real EventSource: a MySQL server, dumping its binary log to us as to a replica.
//
// Memory: libmysqlclient's packet buffer holds the current event, and Next returns a view into it;
// nothing is copied. The buffer grows to the longest event seen. After one of more than
// kEventBytesKept it is cut back at the next call to Next, so that one giant transaction does not
// hold a gigabyte for months.
//
// Interrupt shuts the socket down through a descriptor of our own (dup): libmysqlclient closes its
// own whenever a read fails, and by the time another thread acts, that number may be somebody
// else's file. It ends a blocked Next at once; a Connect under way ends within its own timeouts.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>

#include "replication/source/event_source.h"
#include "replication/source/link_watch.h"
#include "replication/source/semi_sync.h"

namespace tidemark {

inline constexpr uint64_t kEventBytesKept = 64 * 1024 * 1024;
inline constexpr const char* kReportedHost = "tidemark";  // what SHOW REPLICAS shows as our host

class MySqlEventSource final : public EventSource {
 public:
  explicit MySqlEventSource(ConnectionOptions options);
  ~MySqlEventSource() override;

  // Whom the next Connect goes to; not while connected.
  void SetServer(ConnectionOptions options) { options_ = std::move(options); }
  Result<SourceFacts> Connect() override;
  Status StartDump(const DumpRequest& request) override;
  Result<Bytes> Next() override;
  void Interrupt() override;
  void Disconnect() override;

  bool semi_sync() const override;
  bool AckWanted() const override { return ack_wanted_; }
  Status Acknowledge(const std::string& file, uint64_t position) override;
  bool WaitForMore(int64_t timeout_us) override;
  Result<bool> CommitsWait() override;
  void Wake() override { wake_up_.Raise(); }

 private:
  struct Dump;

  Status SetSessionVariables(const DumpRequest& request);
  Result<bool> HasSemiSyncPlugin();
  Status RegisterAsReplica(const DumpRequest& request);
  Status OpenDump(const DumpRequest& request);
  void PrepareNext();
  Result<Bytes> Unwrap(Bytes packet);
  Status FetchFailed();
  Status EndDump(Status why);
  Status Interrupted() const;

  ConnectionOptions options_;
  std::unique_ptr<Connection> connection_;
  std::unique_ptr<Dump> dump_;  // set while dumping
  bool prepare_next_ = false;   // PrepareNext has something to do
  bool ack_wanted_ = false;     // for the event that Next gave last
  // The source refused a dump that was asked for without having seen its list of binary logs.
  bool list_always_ = false;
  bool listed_ = false;
  bool ask_semi_sync_ = false;  // the source has the plugin, and we were told to
  WakeUpFlag wake_up_;
  LinkWatch watch_;   // of socket_, while dumping
  Uuid server_uuid_;  // of the server that Connect reached

  std::atomic<bool> interrupted_ = false;
  std::mutex socket_mutex_;
  int socket_ = -1;  // our duplicate; guarded by socket_mutex_
};

}  // namespace tidemark
