#include "launch/run_folder.h"

#include <cerrno>
#include <cstring>

#include "data/error.h"

namespace trireme::launch {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& why) {
  throw data::DataError(data::Fault::io, path.string() + ": cannot be written: " + why);
}

}  // namespace

RunFolder::RunFolder(const std::string& path) : path_(path) {
  std::error_code error;
  std::filesystem::create_directories(path_, error);
  if (error) fail(path_, error.message());
  metrics_.open(path_ / "metrics.jsonl", std::ios::trunc);
  if (!metrics_) fail(path_ / "metrics.jsonl", std::strerror(errno));
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
