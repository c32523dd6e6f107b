#include "pitr/lineage.h"

#include <map>
#include <set>

namespace tidemark {
namespace {

using Forks = std::map<std::string, std::vector<SourceFork>>;  // of each source

Forks AllForks(const ArchiveDirectory& archive) {
  Forks all;
  const Result<std::vector<std::string>> names = archive.Sources();
  if (!names.ok()) return all;
  for (const std::string& name : *names) all[name] = archive.ForksOf(name);
  return all;
}

}  // namespace

Lineage ReadLineage(const ArchiveDirectory& archive, const std::string& source) {
  Lineage lineage;
  const std::vector<SourceFork> own = archive.ForksOf(source);
  for (size_t i = 0; i < own.size(); ++i)
    lineage.continues.push_back({i + 1 < own.size() ? own[i + 1].parent : source, own[i]});
  for (const auto& [name, forks] : AllForks(archive))
    if (!forks.empty() && forks.back().parent == source)
      lineage.continued_by.push_back({name, forks.back()});
  return lineage;
}

std::vector<std::string> RelatedSources(const ArchiveDirectory& archive,
                                        const std::string& source) {
  const Forks all = AllForks(archive);
  std::set<std::string> family = {source};
  // Until nobody joins any more: who continues a member, and whom a member continues.
  for (size_t before = 0; before != family.size();) {
    before = family.size();
    for (const auto& [name, forks] : all)
      for (const SourceFork& fork : forks)
        if (family.contains(name) || family.contains(fork.parent))
          family.insert({name, fork.parent});
  }
  family.erase(source);
  std::vector<std::string> related;
  for (const std::string& name : family)
    if (all.contains(name)) related.push_back(name);
  return related;
}

}  // namespace tidemark
