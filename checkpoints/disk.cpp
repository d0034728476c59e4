#include "checkpoints/disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <utility>

#include "checkpoints/error.h"

namespace trireme::checkpoints {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kBufferBytes = std::size_t{1} << 20;

[[noreturn]] void fail_with(const fs::path& path, const std::string& what, int code) {
  throw CheckpointError(Fault::io, path.string() + ": " + what + ": " + std::strerror(code));
}

void sync_path(const Disk& disk, const fs::path& path, int flags) {
  disk.step("sync folder", path);
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC);
  if (descriptor < 0) fail_with(path, "cannot be opened to be synced", errno);
  const int failed = ::fsync(descriptor) != 0 ? errno : 0;
  ::close(descriptor);
  if (failed != 0) fail_with(path, "cannot be synced", failed);
}

}  // namespace

Disk::File::File(const Disk& disk, fs::path path) : disk_(disk), path_(std::move(path)) {
  disk_.step("create", path_);
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail("cannot be created");
}

Disk::File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void Disk::File::reserve(std::uint64_t bytes) {
  disk_.step("reserve", path_);
  if (::fallocate(descriptor_, 0, 0, static_cast<off_t>(bytes)) == 0) return;
  // Not every file system can; then a full disk shows later.
  if (errno != EOPNOTSUPP && errno != ENOSYS) fail("cannot take its room");
}

void Disk::File::write(std::span<const std::byte> bytes) {
  if (buffer_.size() + bytes.size() > kBufferBytes) flush();
  if (bytes.size() >= kBufferBytes) return write_now(bytes);
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

void Disk::File::flush() {
  if (!buffer_.empty()) write_now(buffer_);
  buffer_.clear();
}

void Disk::File::write_now(std::span<const std::byte> bytes) {
  disk_.step("write", path_);
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("cannot be written");
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void Disk::File::finish() {
  flush();
  disk_.step("sync", path_);
  if (::fsync(descriptor_) != 0) fail("cannot be synced");
  disk_.step("close", path_);
  if (::close(std::exchange(descriptor_, -1)) != 0) fail("cannot be closed");
}

void Disk::File::fail(const std::string& what) const { fail_with(path_, what, errno); }

void Disk::write_file(const fs::path& path, std::string_view content) const {
  File file(*this, path);
  file.write(std::as_bytes(std::span(content)));
  file.finish();
}

void Disk::replace_file(const fs::path& path, std::string_view content) const {
  const fs::path next = path.string() + ".next";
  std::error_code ignored;
  fs::remove(next, ignored);  // of one who was killed
  write_file(next, content);
  rename(next, path);
  sync_folder(path.parent_path());
}

void Disk::make_folder(const fs::path& path) const {
  step("make folder", path);
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail_with(path, "cannot be made", error.value());
}

void Disk::sync_folder(const fs::path& path) const {
  sync_path(*this, path, O_RDONLY | O_DIRECTORY);
}

void Disk::rename(const fs::path& from, const fs::path& to) const {
  step("rename", to);
  if (::rename(from.c_str(), to.c_str()) != 0) {
    fail_with(from, "cannot be renamed to " + to.string(), errno);
  }
}

void Disk::exchange(const fs::path& one, const fs::path& other) const {
  step("exchange", other);
  if (::renameat2(AT_FDCWD, one.c_str(), AT_FDCWD, other.c_str(), RENAME_EXCHANGE) == 0) return;
  if (errno != EINVAL && errno != ENOSYS) {
    fail_with(one, "cannot change names with " + other.string(), errno);
  }
  const fs::path aside = other.string() + ".old";
  rename(other, aside);
  rename(one, other);
  rename(aside, one);
}

void Disk::remove_all(const fs::path& path) const {
  step("remove", path);
  std::error_code error;
  fs::remove_all(path, error);
  if (error) fail_with(path, "cannot be removed", error.value());
}

InputFile::InputFile(fs::path path) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) {
    const int code = errno;
    throw CheckpointError(
        code == ENOENT ? Fault::missing : Fault::io,
        path_.string() + ": " +
            (code == ENOENT ? "there is no such file"
                            : std::string("cannot be opened: ") + std::strerror(code)));
  }
  struct stat status = {};
  if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor_);
    throw CheckpointError(Fault::corrupt, path_.string() + ": is not a plain file");
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
}

InputFile::~InputFile() { ::close(descriptor_); }

void InputFile::read(std::uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t count = ::pread(descriptor_, out.data(), out.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_with(path_, "cannot be read", errno);
    if (count == 0) {
      throw CheckpointError(Fault::corrupt, path_.string() + ": ends at byte " +
                                                std::to_string(offset) + ", before what it holds");
    }
    out = out.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
}

std::string read_file(const fs::path& path, std::uint64_t most) {
  const InputFile file(path);
  if (file.size() > most) {
    throw CheckpointError(Fault::corrupt, path.string() + ": has " + std::to_string(file.size()) +
                                              " bytes, more than the " + std::to_string(most) +
                                              " that it may");
  }
  std::string content(file.size(), '\0');
  file.read(0, std::as_writable_bytes(std::span(content)));
  return content;
}

}  // namespace trireme::checkpoints
