// What stands in the way of making a new server in a directory; found before anything is touched.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pitr/restore/estimate.h"
#include "replication/base/file_system.h"

namespace tidemark {

// Free space where `directory` is, or will be.
Result<uint64_t> FreeBytesFor(FileSystem& files, std::string directory);
// A blocker if the dump does not fit, a warning if the rest may not.
void CheckDiskSpace(const DiskEstimate& disk, const std::string& directory,
                    std::vector<Status>* blockers, std::vector<std::string>* warnings);

// 90704 of "…mysqld  Ver 9.7.4-2 for Linux…" or "9.7.4-log"; 0 if there is no version in it.
uint32_t ParseServerVersion(const std::string& text);
// What `mysqld --version` says. kTargetRefused.
Result<std::string> AskServerVersion(const std::string& mysqld);
// As the source's format description says it, of the last segment that the plan reads; "" if it
// reads none.
Result<std::string> SourceVersion(ArchiveView& view, const Plan& plan);
// kTargetRefused if the new server's major.minor is older than the source's: it may not know its
// events.
Status CheckVersions(const std::string& mysqld, const std::string& mysqld_version,
                     const std::string& source_version);

}  // namespace tidemark
