#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "launch/config_file.h"

namespace trireme::launch {

// A complete run, in as few keys as it takes.
inline const std::string kSmallRun =
    "[model]\n"
    "hidden_size = 64\n"
    "intermediate_size = 96\n"
    "num_hidden_layers = 2\n"
    "num_attention_heads = 4\n"
    "vocab_size = 257\n"
    "[data]\n"
    "train = [{ path = \"corpus\" }]\n";

// A test with a folder of its own, in which it writes run.toml.
class ConfigTest : public testing::Test {
 protected:
  ConfigTest() {
    std::string name = (std::filesystem::temp_directory_path() / "trireme_config_XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~ConfigTest() override { std::filesystem::remove_all(folder_); }

  std::string path() const { return (folder_ / "run.toml").string(); }

  LoadedConfig load(const std::string& text, const std::vector<std::string>& settings = {}) const {
    std::ofstream(path()) << text;
    return load_config(path(), settings);
  }

  // "run.toml:3", as problems name it.
  std::string line(int number) const { return path() + ":" + std::to_string(number); }

  std::filesystem::path folder_;
};

inline std::vector<Problem> problems_with(const LoadedConfig& loaded, const std::string& key) {
  std::vector<Problem> found;
  for (const auto& problem : loaded.problems) {
    if (problem.key == key) found.push_back(problem);
  }
  return found;
}

// The one problem with `key`.
inline Problem problem_with(const LoadedConfig& loaded, const std::string& key) {
  const auto found = problems_with(loaded, key);
  if (found.size() == 1) return found.front();
  ADD_FAILURE() << found.size() << " problems with " << key << ": "
                << ConfigError(loaded.problems).what();
  return {};
}

inline void expect_says(const std::string& text, const std::string& words) {
  EXPECT_NE(text.find(words), std::string::npos)
      << "\"" << text << "\" does not say \"" << words << "\"";
}

inline void expect_no_problems(const LoadedConfig& loaded) {
  EXPECT_TRUE(loaded.problems.empty()) << ConfigError(loaded.problems).what();
}

}  // namespace trireme::launch
