#include "pitr/restore/client_access.h"

#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

namespace tidemark {
namespace {

const char* SslMode(TlsMode mode) {
  switch (mode) {
    case TlsMode::kDisabled: return "DISABLED";
    case TlsMode::kPreferred: return "PREFERRED";
    case TlsMode::kRequired: return "REQUIRED";
    case TlsMode::kVerifyCa: return "VERIFY_CA";
    case TlsMode::kVerifyIdentity: return "VERIFY_IDENTITY";
  }
  return "PREFERRED";
}

std::string OptionFile(const ConnectionOptions& connection, const std::string& password) {
  std::string text = "[client]\n";
  const auto add = [&text](const char* name, const std::string& value) {
    if (!value.empty()) text.append(name).append("=").append(QuotedOption(value)).append("\n");
  };
  add("user", connection.user);
  text += "password=" + QuotedOption(password) + "\n";
  if (connection.socket.empty()) {
    add("host", connection.host);
    add("port", std::to_string(connection.port));
    add("protocol", "TCP");
  } else {
    add("socket", connection.socket);
  }
  add("ssl-mode", SslMode(connection.tls.mode));
  add("ssl-ca", connection.tls.ca_file);
  add("ssl-cert", connection.tls.certificate_file);
  add("ssl-key", connection.tls.key_file);
  add("tls-version", connection.tls.versions);
  if (MayFetchServerPublicKey(connection)) text += "get-server-public-key\n";
  return text;
}

Status WriteNewFile(FileSystem& files, const std::string& path, const std::string& contents) {
  if (files.Exists(path)) TM_RETURN_IF_ERROR(files.Remove(path));
  TM_ASSIGN_OR_RETURN(auto file, files.Open(path, OpenMode::kCreateNew));
  return file->Append(AsBytes(contents));
}

}  // namespace

Result<std::unique_ptr<PrivateDirectory>> PrivateDirectory::Make(const std::string& parent) {
  std::string path = parent + "/tidemark-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr)  // mode 0700
    return Status(Code::kIo,
                  "cannot make a temporary directory in " + parent + ": " + std::strerror(errno));
  return std::unique_ptr<PrivateDirectory>(new PrivateDirectory(std::move(path)));
}

PrivateDirectory::~PrivateDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TemporaryDirectory() {
  const char* directory = std::getenv("TMPDIR");
  return directory != nullptr && directory[0] == '/' ? directory : "/tmp";
}

std::string RandomSecret() {
  std::array<uint8_t, 22> bytes{};
  TM_CHECK(::getentropy(bytes.data(), bytes.size()) == 0);
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string secret = "aA1-";
  for (const uint8_t byte : bytes) (secret += kDigits[byte >> 4]) += kDigits[byte & 15];
  return secret;
}

uint32_t RandomServerId(uint32_t not_this) {
  uint32_t id = 0;
  while (id == 0 || id == not_this) TM_CHECK(::getentropy(&id, sizeof id) == 0);
  return id;
}

Result<std::unique_ptr<ClientAccess>> ClientAccess::Make(FileSystem& files,
                                                         const std::string& parent_directory) {
  TM_ASSIGN_OR_RETURN(auto directory, PrivateDirectory::Make(parent_directory));
  std::unique_ptr<ClientAccess> access(new ClientAccess(files, std::move(directory)));
  TM_RETURN_IF_ERROR(files.CreateDirectories(access->files_directory()));
  return access;
}

Result<std::string> ClientAccess::KeepSecret(const std::string& name, const std::string& secret) {
  const std::string path = directory_->path() + "/" + name;
  TM_RETURN_IF_ERROR(WriteNewFile(files_, path, secret + "\n"));
  return path;
}

Status ClientAccess::LogInAs(const ConnectionOptions& connection) {
  TM_RETURN_IF_ERROR(ValidateOptions(connection));
  TM_ASSIGN_OR_RETURN(const std::string password, ReadPassword(connection.password));
  TM_RETURN_IF_ERROR(WriteNewFile(files_, option_file(), OptionFile(connection, password)));
  connection_ = connection;
  return OkStatus();
}

Result<std::unique_ptr<Connection>> ClientAccess::Connect(uint32_t read_timeout_s) const {
  ConnectionOptions options = connection_;
  if (read_timeout_s != 0) options.read_timeout_s = read_timeout_s;
  Result<std::unique_ptr<Connection>> connection = Connection::Open(options);
  if (!connection.ok()) return TargetError(connection.error());
  return connection;
}

std::vector<std::pair<std::string, std::string>> ClientAccess::Environment() const {
  // No login path, password or option of the user's own may get in between.
  return {{"TMPDIR", files_directory()},
          {"MYSQL_TEST_LOGIN_FILE", "/dev/null"},
          {"MYSQL_HISTFILE", "/dev/null"}};
}

ProcessOptions ClientAccess::MysqlClient(const std::string& program,
                                         const std::vector<std::string>& extra) const {
  ProcessOptions options;
  // --binary-mode: no client commands (a dump's "\! rm" is text for the server), no translation of
  // line ends. A LOAD DATA LOCAL of a statement-format log may read what mysqlbinlog wrote, and
  // nothing else of this machine.
  options.argv = {program,
                  "--defaults-file=" + option_file(),
                  "--batch",
                  "--binary-mode",
                  "--max-allowed-packet=1G",
                  "--local-infile=0",
                  "--load-data-local-dir=" + files_directory()};
  options.argv.insert(options.argv.end(), extra.begin(), extra.end());
  options.environment = Environment();
  return options;
}

std::string QuotedOption(std::string_view value) {
  std::string quoted = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

Status TargetError(const Status& error) {
  if (error.ok()) return error;
  const bool ours = error.code() == Code::kUsage || error.code() == Code::kInterrupted ||
                    error.code() == Code::kIo;
  // A Connection takes each server for a source, and knows what a source has to grant.
  constexpr std::string_view kSource = "source ", kOnSource = "on the source: GRANT";
  const bool named = error.message().starts_with(kSource);
  std::string hint = error.hint();
  if (hint.starts_with(kOnSource)) hint.clear();
  if (const size_t grant = hint.find("; it needs: GRANT"); grant != std::string::npos)
    hint.resize(grant);
  for (size_t at; (at = hint.find("the source")) != std::string::npos;)
    hint.replace(at, std::string_view("the source").size(), "the target");
  return Status(ours ? error.code() : Code::kTargetRefused,
                "the restore target" +
                    (named ? " " + error.message().substr(kSource.size()) : ": " + error.message()),
                hint);
}

}  // namespace tidemark
