#include "checkpoints/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

#include "checkpoints/error.h"

namespace trireme::checkpoints {
namespace {

namespace fs = std::filesystem;

std::string owner_text() {
  char host[256] = {};
  gethostname(host, sizeof host - 1);
  return "process " + std::to_string(getpid()) + " on " + host + "\n";
}

std::string read_owner(int descriptor) {
  char text[512] = {};
  const ssize_t count = ::pread(descriptor, text, sizeof text - 1, 0);
  std::string owner(text, count > 0 ? static_cast<std::size_t>(count) : 0);
  if (!owner.empty() && owner.back() == '\n') owner.pop_back();
  return owner.empty() ? "another process" : owner;
}

}  // namespace

FolderLock::FolderLock(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    throw CheckpointError(Fault::io, folder.string() + ": cannot be made: " + error.message());
  }
  const fs::path path = folder / ".lock";
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) {
    throw CheckpointError(Fault::io,
                          path.string() + ": cannot be written: " + std::strerror(errno));
  }
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return;
    const std::string owner = read_owner(descriptor_);
    ::close(descriptor_);
    throw CheckpointError(Fault::io, folder.string() + ": " + owner +
                                         " writes its checkpoints there; wait for it, or use "
                                         "another run.dir");
  }
  const std::string owner = owner_text();
  if (::ftruncate(descriptor_, 0) != 0 ||
      ::pwrite(descriptor_, owner.data(), owner.size(), 0) < 0) {
    const int code = errno;
    ::close(descriptor_);
    throw CheckpointError(Fault::io, path.string() + ": cannot be written: " + std::strerror(code));
  }
}

FolderLock::~FolderLock() { ::close(descriptor_); }

}  // namespace trireme::checkpoints
