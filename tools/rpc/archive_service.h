// tidemark.v1.ArchiveService over the daemon's archive. The handlers keep nothing but `archive`,
// which must outlive the registry.
#pragma once

#include "proto/rpc/service_registry.h"
#include "tools/rpc/shared_archive.h"

namespace tidemark::rpc {

inline constexpr uint32_t kSegmentsPerPageMax = 1000;
inline constexpr size_t kPageBytesMax = 1 << 20;  // a page ends with the segment that goes past it
inline constexpr uint32_t kTimelineDdlDefault = 1000;
inline constexpr uint32_t kTimelineDdlMax = 10'000;

void AddArchiveService(SharedArchive& archive, ServiceRegistry* registry);

}  // namespace tidemark::rpc
