// A fresh directory under $TMPDIR (else /tmp) that is removed with everything in it when the object
// goes, unless the environment variable TIDEMARK_KEEP is set: then its name is printed and it
// stays.
#pragma once

#include <string>

#include "replication/base/status.h"

namespace tidemark::testing {

class TempDir {
 public:
  explicit TempDir(const std::string& prefix = "tidemark-test");  // aborts if it cannot be made
  ~TempDir();
  TempDir(TempDir&& other) noexcept;
  TempDir& operator=(TempDir&& other) noexcept;

  const std::string& path() const { return path_; }
  std::string Path(const std::string& name) const { return path_ + "/" + name; }

 private:
  void Remove();

  std::string path_;  // empty when moved from
};

}  // namespace tidemark::testing
