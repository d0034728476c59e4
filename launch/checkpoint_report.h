#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "checkpoints/difference.h"

namespace trireme::launch {

// What `trireme checkpoint` says, as JSON for --json and as text for people.

// One checkpoint of a folder, as far as its manifest and the sizes of its files tell.
struct ListedCheckpoint {
  std::filesystem::path path;
  std::string problem;  // nothing if it looks whole
  checkpoints::Manifest manifest;
  bool latest = false;
};
nlohmann::ordered_json to_json(const std::vector<ListedCheckpoint>& list);
std::string to_text(const std::vector<ListedCheckpoint>& list);

nlohmann::ordered_json to_json(const checkpoints::Checkpoint& checkpoint);
std::string to_text(const checkpoints::Checkpoint& checkpoint);

// Whether all of it is what it should be: every problem that was found.
struct VerifiedCheckpoint {
  std::filesystem::path path;
  std::vector<std::string> problems;
  std::uint64_t bytes = 0;
  double seconds = 0;
};
nlohmann::ordered_json to_json(const std::vector<VerifiedCheckpoint>& verified);
std::string to_text(const std::vector<VerifiedCheckpoint>& verified);

nlohmann::ordered_json to_json(const std::vector<checkpoints::TensorDifference>& differences);
std::string to_text(const std::vector<checkpoints::TensorDifference>& differences);

}  // namespace trireme::launch
