// What a daemon's archiver does with a batch that is durable: it is in the index at once.
#pragma once

#include "index/index.h"
#include "replication/sink/durable_listener.h"

namespace tidemark::testing {

class Indexing : public DurableListener {
 public:
  explicit Indexing(Index& index) : index_(index) {}
  Status OnDurable(const DurableBatch& batch) override { return index_.Apply(batch); }

 private:
  Index& index_;
};

}  // namespace tidemark::testing
