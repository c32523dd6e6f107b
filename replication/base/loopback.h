// Whether a host is this machine by its very name: there nobody can stand in between.
#pragma once

#include <string>

namespace tidemark {

bool IsLoopback(const std::string& host);  // "localhost", 127.0.0.0/8, ::1; resolves no name

}  // namespace tidemark
