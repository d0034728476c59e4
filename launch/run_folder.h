#pragma once

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

namespace trireme::launch {

// The files a run leaves: resolved.toml, log.txt, metrics.jsonl. Only rank 0 has one. Throws
// DataError{io} naming the folder or file that cannot be written.
class RunFolder {
 public:
  explicit RunFolder(const std::string& path);

  const std::filesystem::path& path() const { return path_; }

  void write(const std::string& name, const std::string& content) const;

  // One object of metrics.jsonl; on the disk's way before the next step begins.
  void add_metrics(const std::string& line);

 private:
  std::filesystem::path path_;
  std::ofstream metrics_;
};

}  // namespace trireme::launch
