#include "tools/daemon_reload.h"

#include "replication/base/checksum.h"

namespace tidemark {
namespace {

constexpr uint64_t kNamedFileBytesMax = 1 << 20;

// Settings name secrets' files and hold none. Should one come to hold a secret, its value must not
// reach the log.
std::string Shown(const std::string& key, const std::string& value) {
  const bool names_a_place = key.ends_with("_file") || key.ends_with("_environment");
  for (const char* word : {"password", "secret", "token"})
    if (key.find(word) != std::string::npos && !names_a_place) return "(not shown)";
  return value;
}

// One line for each key in which the two differ.
std::vector<std::string> Differences(const Settings& before, const Settings& after) {
  std::vector<std::string> lines;
  Settings all = before;
  all.insert(after.begin(), after.end());
  for (const auto& [key, ignored] : all) {
    const auto old = before.find(key), fresh = after.find(key);
    if (old != before.end() && fresh != after.end() && old->second == fresh->second) continue;
    const auto text = [&key = key](const Settings& settings, auto found) {
      return found == settings.end() ? std::string("not set") : Shown(key, found->second);
    };
    lines.push_back(key + ": " + text(before, old) + " -> " + text(after, fresh));
  }
  return lines;
}

void Append(std::vector<std::string>* to, const std::string& prefix,
            const std::vector<std::string>& lines) {
  for (const std::string& line : lines) to->push_back(prefix + line);
}

void CompareSources(const DaemonConfig& running, const DaemonConfig& fresh, ReloadPlan* plan) {
  for (const SourceConfig& source : running.sources) {
    const std::string& name = source.archiver.source;
    const SourceConfig* now = fresh.Find(name);
    if (now == nullptr) {
      plan->sources_removed.push_back(name);
      plan->changes.push_back("source " + name + ": removed; what is archived of it stays");
    } else if (now->settings != source.settings) {
      plan->sources_changed.push_back(name);
      Append(&plan->changes, "source " + name + ": ", Differences(source.settings, now->settings));
    }
  }
  for (const SourceConfig& source : fresh.sources) {
    const std::string& name = source.archiver.source;
    if (running.Find(name) != nullptr) continue;
    plan->sources_added.push_back(name);
    plan->changes.push_back("source " + name + ": added, " + source.connection.Endpoint());
  }
}

std::map<std::string, const ServeAccountConfig*> AccountsOf(const ServeConfig& serve) {
  std::map<std::string, const ServeAccountConfig*> accounts;
  for (const ServeAccountConfig& account : serve.accounts) accounts[account.user] = &account;
  return accounts;
}

std::vector<std::string> CompareAccounts(const ServeConfig& running, const ServeConfig& fresh) {
  std::vector<std::string> lines;
  const auto before = AccountsOf(running), after = AccountsOf(fresh);
  for (const auto& [user, account] : before) {
    const auto now = after.find(user);
    if (now == after.end())
      lines.push_back("serve.account " + user + ": removed");
    else
      Append(&lines, "serve.account " + user + ": ",
             Differences(account->settings, now->second->settings));
  }
  for (const auto& [user, account] : after)
    if (!before.contains(user))
      lines.push_back("serve.account " + user + ": added, for source " + account->source);
  return lines;
}

std::vector<std::string> NamedFiles(const ServeConfig& serve) {
  std::vector<std::string> paths = {serve.tls_certificate_file, serve.tls_key_file,
                                    serve.rsa_private_key_file};
  for (const ServeAccountConfig& account : serve.accounts) paths.push_back(account.password.file);
  std::erase(paths, std::string());
  return paths;
}

std::vector<std::string> NamedFiles(const RpcConfig& rpc) {
  std::vector<std::string> paths = {rpc.tls_certificate_file, rpc.tls_key_file,
                                    rpc.tls_client_ca_file, rpc.access_file};
  std::erase(paths, std::string());
  return paths;
}

std::vector<std::string> NewContents(const LoadedConfig& running, const LoadedConfig& fresh,
                                     const std::vector<std::string>& paths) {
  std::vector<std::string> lines;
  for (const std::string& path : paths) {
    const auto old = running.digests.find(path), now = fresh.digests.find(path);
    if (old != running.digests.end() && now != fresh.digests.end() && old->second != now->second)
      lines.push_back(path + " has new contents");
  }
  return lines;
}

// As a source we have the server_id that we have as a replica.
bool IdentityChanged(const DaemonConfig& running, const DaemonConfig& fresh,
                     const std::string& name) {
  const SourceConfig* before = running.Find(name);
  const SourceConfig* after = fresh.Find(name);
  return before == nullptr || after == nullptr ||
         before->archiver.server_id != after->archiver.server_id;
}

void CompareServe(const LoadedConfig& running, const LoadedConfig& fresh, ReloadPlan* plan) {
  const ServeConfig& before = running.config.serve;
  const ServeConfig& after = fresh.config.serve;
  std::vector<std::string> lines;
  if (before.port == 0 || after.port == 0) {
    if (before.port != after.port)
      lines.push_back(after.port == 0 ? "serve: removed; replicas are cut off"
                                      : "serve: added, " + after.listen_address + ":" +
                                            std::to_string(after.port));
  } else {
    Append(&lines, "serve.", Differences(before.settings, after.settings));
    Append(&lines, "", CompareAccounts(before, after));
    Append(&lines, "serve: ", NewContents(running, fresh, NamedFiles(after)));
  }
  plan->serve = !lines.empty();
  for (const ServeAccountConfig& account : after.accounts)
    plan->serve = plan->serve || IdentityChanged(running.config, fresh.config, account.source);
  Append(&plan->changes, "", lines);
}

void CompareRpc(const LoadedConfig& running, const LoadedConfig& fresh, ReloadPlan* plan) {
  const RpcConfig& before = running.config.rpc;
  const RpcConfig& after = fresh.config.rpc;
  if (before.listen.empty() && after.listen.empty()) return;
  if (before.listen.empty() || after.listen.empty()) {
    plan->rpc = true;
    plan->changes.push_back(after.listen.empty() ? "rpc: removed; remote callers are cut off"
                                                 : "rpc: added, " + after.settings.at("listen"));
    return;
  }
  Append(&plan->changes, "rpc.", Differences(before.settings, after.settings));
  Append(&plan->changes, "rpc: ", NewContents(running, fresh, NamedFiles(after)));
  Settings kept = before.settings;  // and what is changed under way
  for (const char* key : {"access_file", "audit_file"}) kept[key] = after.settings.at(key);
  plan->rpc = kept != after.settings;
}

std::string DigestOf(const std::string& text) {
  Sha256 hash;
  hash.Update(AsBytes(text));
  const Sha256Digest digest = hash.Finish();
  return {digest.begin(), digest.end()};
}

}  // namespace

ReloadPlan PlanReload(const LoadedConfig& running, const LoadedConfig& fresh) {
  ReloadPlan plan;
  plan.result = fresh.config;
  plan.result.archive = running.config.archive;
  plan.result.settings["archive"] = running.config.settings.at("archive");
  Settings lasting = fresh.config.settings;  // until a restart
  lasting["space_reserve_mib"] = running.config.settings.at("space_reserve_mib");
  plan.needs_restart = Differences(running.config.settings, lasting);
  plan.changes = Differences(lasting, fresh.config.settings);
  const auto log = Differences(running.config.log.settings, fresh.config.log.settings);
  plan.log = !log.empty();
  Append(&plan.changes, "log.", log);
  CompareSources(running.config, fresh.config, &plan);
  CompareServe(running, fresh, &plan);
  CompareRpc(running, fresh, &plan);
  return plan;
}

Result<LoadedConfig> LoadConfigWithFiles(const std::string& path) {
  LoadedConfig loaded;
  TM_ASSIGN_OR_RETURN(loaded.config, LoadDaemonConfig(path));
  std::vector<std::string> files = NamedFiles(loaded.config.serve);
  Append(&files, "", NamedFiles(loaded.config.rpc));
  for (const std::string& file : files) {
    Result<std::string> text = ReadSmallFile(PosixFileSystem(), file, kNamedFileBytesMax);
    loaded.digests[file] = text.ok() ? DigestOf(*text) : std::string();
  }
  return loaded;
}

}  // namespace tidemark
