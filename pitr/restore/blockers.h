// What stands in the way of making a new server in a directory; found before anything is touched.
#pragma once

#include <cstdint>
#include <set>
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
// Of the servers whose files the plan begins and ends with: it need not be all that are in them.
Result<std::set<uint32_t>> ArchivedServerIds(ArchiveView& view, const Plan& plan);
// kTargetRefused with what mysqld says to "--name=value"s that it does not take.
Status CheckMysqldOptions(const std::string& mysqld, const std::vector<std::string>& options);
// kUsage if we cannot listen there: not a numeric address, or not one of this machine.
Status CheckServeAddress(const std::string& address);
// kTargetRefused if another server listens there.
Status CheckPort(uint16_t port);
// kTargetRefused if the new server's major.minor is older than the source's: it may not know its
// events.
Status CheckVersions(const std::string& mysqld, const std::string& mysqld_version,
                     const std::string& source_version);

}  // namespace tidemark
