#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace trireme::data {

// A file that is written as PATH.tmp and becomes PATH only when it is whole. Dropping it
// before `publish` removes it. Everything throws DataError{io}.
class OutputFile {
 public:
  explicit OutputFile(std::string path);
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile();

  void append(std::span<const std::byte> bytes);

  // After this, what was appended is on the disk, and nothing more may be appended.
  void close();

  // Gives a closed file its name, replacing what had it.
  void publish();

 private:
  void flush();
  [[noreturn]] void fail(const std::string& action) const;

  std::string path_;
  std::string temporary_;
  std::vector<std::byte> buffer_;
  int descriptor_ = -1;
};

// Makes renames and removals in the folder of `path` survive a power failure.
void sync_folder_of(const std::string& path);

}  // namespace trireme::data
