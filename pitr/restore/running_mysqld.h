// Finds the mysqld that an earlier run left running on a data directory.
//
// The pid file says which process it may be; /proc says whether it is: a program named mysqld that
// was told of this data directory, or works in it (mysqld goes there). mysqld writes its pid file
// late, so that without a good one every process is looked at. Only processes that we may see are
// found: not those in another container, where InnoDB's own lock refuses a second server.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pitr/restore/process.h"

namespace tidemark {

struct RunningMysqld {
  std::unique_ptr<ChildProcess> process;  // killed with the object unless released
  std::vector<std::string> arguments;     // its command line; a loader may come before mysqld

  // The value of "--NAME=value" where it is last; empty if it has none.
  std::string Option(const std::string& name) const;
};

std::optional<RunningMysqld> FindMysqld(const std::string& data_directory,
                                        const std::string& pid_file);

}  // namespace tidemark
