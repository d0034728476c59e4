#include "launch/run_folder.h"

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "data/error.h"

namespace trireme::launch {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& why) {
  throw data::DataError(data::Fault::io, path.string() + ": cannot be written: " + why);
}

}  // namespace

RunFolder::RunFolder(const std::string& path, bool goes_on) : path_(path) {
  std::error_code error;
  std::filesystem::create_directories(path_, error);
  if (error) fail(path_, error.message());
  if (!goes_on) {
    set_aside("metrics.jsonl");
    set_aside("log.txt");
  }
  open_metrics(goes_on ? std::ios::app : std::ios::trunc);
}

void RunFolder::set_aside(const std::string& name) const {
  std::error_code error;
  const std::filesystem::path path = path_ / name;
  if (std::filesystem::file_size(path, error) == 0 || error) return;
  for (int number = 1;; ++number) {
    const std::filesystem::path aside = path.string() + ".old-" + std::to_string(number);
    if (std::filesystem::exists(aside, error)) continue;
    std::filesystem::rename(path, aside, error);
    if (error) fail(path, error.message());
    return;
  }
}

void RunFolder::open_metrics(std::ios::openmode mode) {
  metrics_.open(path_ / "metrics.jsonl", mode);
  if (!metrics_) fail(path_ / "metrics.jsonl", std::strerror(errno));
}

bool RunFolder::keep_metrics_until(std::int64_t step) {
  bool is_evaluated = false;
  metrics_.close();
  const std::filesystem::path path = path_ / "metrics.jsonl", next = path_ / "metrics.jsonl.next";
  std::ifstream all(path);
  std::ofstream kept(next, std::ios::trunc);
  for (std::string line; std::getline(all, line);) {
    // A line that was cut off by a crash is of a step that is made again.
    const auto object = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object() || object.value("step", step + 1) > step) continue;
    is_evaluated |= object["step"] == step && object.contains("eval_loss");
    kept << line << '\n';
  }
  kept << std::flush;
  if (!kept) fail(next, std::strerror(errno));
  std::error_code error;
  std::filesystem::rename(next, path, error);
  if (error) fail(next, error.message());
  open_metrics(std::ios::app);
  return is_evaluated;
}

void RunFolder::write(const std::string& name, const std::string& content) const {
  std::ofstream file(path_ / name, std::ios::trunc);
  file << content << std::flush;
  if (!file) fail(path_ / name, std::strerror(errno));
}

void RunFolder::add_metrics(const std::string& line) {
  metrics_ << line << '\n' << std::flush;
  if (!metrics_) fail(path_ / "metrics.jsonl", std::strerror(errno));
}

}  // namespace trireme::launch
