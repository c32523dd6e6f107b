// Who wants to know what has become durable: the index, acknowledgements, metrics.
#pragma once

#include "replication/archive/records.h"

namespace tidemark {

class DurableListener {
 public:
  virtual ~DurableListener() = default;
  // Called after fdatasync, in archive order, by one thread at a time per source. An error stops
  // the archiving of that source until it is retried: what could not be indexed is not published.
  virtual Status OnDurable(const DurableBatch& batch) = 0;
};

}  // namespace tidemark
