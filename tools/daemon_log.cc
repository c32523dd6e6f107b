#include "tools/daemon_log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/dist_sink.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/systemd_sink.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>
#include <string_view>

#include "replication/base/printable.h"

namespace tidemark {
namespace {

constexpr const char* kTextPattern = "%Y-%m-%dT%H:%M:%S.%fZ %l %*";
constexpr const char* kJournalPattern = "%*";  // the journal knows the rest

// "[NAME] text" is how the layers below say which source a message is about.
std::string_view SourceOf(std::string_view message) {
  if (!message.starts_with('[')) return {};
  const size_t end = message.find("] ");
  if (end == std::string_view::npos ||
      !ArchiveDirectory::CheckSourceName(std::string(message.substr(1, end - 1))).ok())
    return {};
  return message.substr(1, end - 1);
}

class JsonFormatter : public spdlog::formatter {
 public:
  explicit JsonFormatter(std::string end_of_line) : end_of_line_(std::move(end_of_line)) {}
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    time_.format(message, time_text_);
    std::string_view text(message.payload.data(), message.payload.size());
    const std::string_view source = SourceOf(text);
    if (!source.empty()) text.remove_prefix(source.size() + 3);
    nlohmann::ordered_json line;
    line["time"] = std::string_view(time_text_.data(), time_text_.size());
    const auto level = spdlog::level::to_string_view(message.level);
    line["level"] = std::string_view(level.data(), level.size());
    if (!source.empty()) line["source"] = source;
    line["message"] = text;
    time_text_.clear();
    const std::string dumped =
        line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + end_of_line_;
    out.append(dumped.data(), dumped.data() + dumped.size());
  }
  std::unique_ptr<spdlog::formatter> clone() const override {
    return MakeJsonFormatter(end_of_line_);
  }

 private:
  const std::string end_of_line_;
  spdlog::pattern_formatter time_{"%Y-%m-%dT%H:%M:%S.%fZ", spdlog::pattern_time_type::utc, ""};
  spdlog::memory_buf_t time_text_;
};

spdlog::sink_ptr MakeSink(const LogConfig& config) {
  switch (config.destination) {
    case LogDestination::kStandardError: return std::make_shared<spdlog::sinks::stderr_sink_mt>();
    case LogDestination::kJournal:
      return std::make_shared<spdlog::sinks::systemd_sink_mt>("tidemarkd", true);
    case LogDestination::kFile:
      return std::make_shared<spdlog::sinks::rotating_file_sink_mt>(
          config.file, config.file_bytes_max, config.files_kept);
  }
  return nullptr;
}

// The message, in lines of text.
class PrintableMessage : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    const std::string text =
        Printable(std::string_view(message.payload.data(), message.payload.size()));
    out.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<PrintableMessage>();
  }
};

std::unique_ptr<spdlog::formatter> MakeFormatter(const LogConfig& config) {
  const bool journal = config.destination == LogDestination::kJournal;
  const std::string end_of_line = journal ? "" : "\n";
  if (config.format == LogFormat::kJson) return MakeJsonFormatter(end_of_line);
  auto text =
      std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc, end_of_line);
  text->add_flag<PrintableMessage>('*').set_pattern(journal ? kJournalPattern : kTextPattern);
  return text;
}

// Behind the one logger: spdlog's default logger must not be exchanged while others use it.
spdlog::sinks::dist_sink_mt& Distributor() {
  static const auto distributor = [] {
    auto sink = std::make_shared<spdlog::sinks::dist_sink_mt>();
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("tidemarkd", sink));
    spdlog::flush_on(spdlog::level::info);
    return sink;
  }();
  return *distributor;
}

}  // namespace

std::unique_ptr<spdlog::formatter> MakeJsonFormatter(std::string end_of_line) {
  return std::make_unique<JsonFormatter>(std::move(end_of_line));
}

Status ConfigureLog(const LogConfig& config) {
  spdlog::sink_ptr sink;
  try {
    sink = MakeSink(config);
  } catch (const spdlog::spdlog_ex& error) {
    return Status(Code::kIo, "cannot log to " + config.file + ": " + error.what(),
                  "the directory must exist and be writable by tidemarkd's user");
  }
  sink->set_formatter(MakeFormatter(config));
  Distributor().set_sinks({std::move(sink)});
  spdlog::set_level(spdlog::level::from_str(config.level));
  return OkStatus();
}

}  // namespace tidemark
