#pragma once

#include <filesystem>

namespace trireme::checkpoints {

// One run at a time writes into a folder. Held as long as the object lives, and given back by the
// system when the process dies.
class FolderLock {
 public:
  // Makes the folder if it is not there. Throws CheckpointError{io}, naming who holds it, if
  // another process does. A file system that knows no locks gives none.
  explicit FolderLock(const std::filesystem::path& folder);
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  ~FolderLock();

 private:
  int descriptor_ = -1;
};

}  // namespace trireme::checkpoints
