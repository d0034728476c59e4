#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

namespace trireme::launch {

// The files a run leaves: resolved.toml, log.txt, metrics.jsonl. Only rank 0 has one. Throws
// DataError{io} naming the folder or file that cannot be written.
class RunFolder {
 public:
  // What is there of an earlier part of the run stays, if it `goes_on`; what is of another run gets
  // another name, log.txt.old-1.
  RunFolder(const std::string& path, bool goes_on);

  const std::filesystem::path& path() const { return path_; }

  void write(const std::string& name, const std::string& content) const;

  // Drops the lines of metrics.jsonl of later steps: they are made again. Returns whether the step
  // was evaluated.
  bool keep_metrics_until(std::int64_t step);

  // One object of metrics.jsonl; on the disk's way before the next step begins.
  void add_metrics(const std::string& line);

 private:
  void set_aside(const std::string& name) const;
  void open_metrics(std::ios::openmode mode);

  std::filesystem::path path_;
  std::ofstream metrics_;
};

}  // namespace trireme::launch
