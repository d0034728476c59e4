#pragma once

#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/sampler.h"
#include "data/token_file_writer.h"

namespace trireme::test {

// A token file of its own folder: `tokens` ids below `vocab_size` with a pattern worth learning.
class Corpus {
 public:
  Corpus(std::int64_t tokens, std::int32_t vocab_size, const std::string& name)
      : folder_(std::filesystem::temp_directory_path() /
                ("trireme-" + name + "-" + std::to_string(getpid()))) {
    std::filesystem::create_directories(folder_);
    data::TokenFileWriter writer(prefix(), vocab_size);
    std::vector<std::int32_t> document;
    for (std::int64_t i = 0; i < tokens; ++i) {
      document.push_back(static_cast<std::int32_t>((i * i / 3 + i) % vocab_size));
    }
    writer.add_document(document);
    writer.finish();
  }
  Corpus(const Corpus&) = delete;
  Corpus& operator=(const Corpus&) = delete;
  ~Corpus() { std::filesystem::remove_all(folder_); }

  std::string prefix() const { return (folder_ / "corpus").string(); }
  const std::filesystem::path& folder() const { return folder_; }

  data::Sampler sampler(std::int64_t sequence_length, std::uint64_t seed) const {
    const auto file = data::open_token_file(prefix());
    return data::Sampler({.sources = {{file, 1.0, 0, file->tokens()}},
                          .sequence_length = sequence_length,
                          .seed = seed});
  }

 private:
  std::filesystem::path folder_;
};

}  // namespace trireme::test
