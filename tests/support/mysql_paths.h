// Where the MySQL programs that tests run are: the directory in TIDEMARK_MYSQL_BIN, else the one
// that tools/bootstrap filled, CACHE/mysql-server/bin, else PATH.
#pragma once

#include <string>

namespace tidemark::testing {

std::string MySqlProgram(
    const std::string& name);  // a path, or just `name` if it is to be looked up in PATH
std::string
CacheDirectory();  // $TIDEMARK_CACHE, else $XDG_CACHE_HOME/tidemark, else ~/.cache/tidemark

}  // namespace tidemark::testing
