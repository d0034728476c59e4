#pragma once

#include <filesystem>
#include <system_error>
#include <utility>

namespace trireme::checkpoints {

// What was begun under a name of its own and never got its final one goes when this does: after a
// failure nothing half-done takes up the disk.
class RemovedUnlessMoved {
 public:
  explicit RemovedUnlessMoved(std::filesystem::path path) : path_(std::move(path)) {}
  RemovedUnlessMoved(const RemovedUnlessMoved&) = delete;
  RemovedUnlessMoved& operator=(const RemovedUnlessMoved&) = delete;
  ~RemovedUnlessMoved() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

 private:
  std::filesystem::path path_;
};

}  // namespace trireme::checkpoints
