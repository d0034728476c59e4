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

constexpr std::size_t kBlockBytes = std::size_t{512} << 10;  // what a disk is given at once
// Smaller files, and smaller pieces of large ones, gain nothing by going past the cache.
constexpr std::size_t kDirectFileBytes = std::size_t{4} << 20;
constexpr std::size_t kDirectReadBytes = std::size_t{512} << 10;

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
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
  descriptor_ = ::open(path_.c_str(), kFlags, 0666);
  if (descriptor_ < 0) fail("cannot be created");
}

Disk::File::~File() {
  blocks_.reset();
  if (descriptor_ >= 0) ::close(descriptor_);
}

void Disk::File::reserve(std::uint64_t bytes) {
  disk_.step("reserve", path_);
  if (bytes >= kDirectFileBytes) set_direct(true);
  if (::fallocate(descriptor_, 0, 0, static_cast<off_t>(bytes)) == 0) return;
  // Not every file system can; then a full disk shows later.
  if (errno != EOPNOTSUPP && errno != ENOSYS) fail("cannot take its room");
}

void Disk::File::write(std::span<const std::byte> bytes) {
  if (!blocks_) {
    blocks_ = std::make_unique<BlockQueue>(
        kBlockBytes, [this](std::span<const std::byte> block) { write_block(block); });
  }
  while (!bytes.empty()) {
    if (filled_ == 0) filling_ = blocks_->block();
    const std::size_t count = std::min(bytes.size(), filling_.size() - filled_);
    std::memcpy(filling_.data() + filled_, bytes.data(), count);
    filled_ += count;
    bytes = bytes.subspan(count);
    if (filled_ == filling_.size()) flush();
  }
}

void Disk::File::flush() {
  if (filled_ == 0) return;
  disk_.step("write", path_);
  blocks_->push(std::exchange(filled_, 0));
}

void Disk::File::write_block(std::span<const std::byte> block) {
  // Whole blocks only may go past the cache.
  if (block.size() % kDiskBlock != 0) set_direct(false);
  while (!block.empty()) {
    const ssize_t count = ::write(descriptor_, block.data(), block.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EINVAL && direct_) {
      set_direct(false);
      continue;
    }
    if (count < 0) fail("cannot be written");
    block = block.subspan(static_cast<std::size_t>(count));
    // What is left must begin on a block.
    if (static_cast<std::size_t>(count) % kDiskBlock != 0) set_direct(false);
  }
}

void Disk::File::set_direct(bool direct) {
  const int flags = ::fcntl(descriptor_, F_GETFL);
  const int wanted = direct ? flags | O_DIRECT : flags & ~O_DIRECT;
  direct_ = ::fcntl(descriptor_, F_SETFL, wanted) == 0 && direct;
}

void Disk::File::finish() {
  flush();
  if (blocks_) blocks_->finish();
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
  if (size_ >= kDirectFileBytes) direct_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
}

InputFile::~InputFile() {
  ::close(descriptor_);
  if (direct_ >= 0) ::close(direct_);
}

void InputFile::read(std::uint64_t offset, std::span<std::byte> out) const {
  if (direct_ >= 0 && out.size() >= kDirectReadBytes) {
    read_direct(offset, out);
  } else {
    read_with(descriptor_, offset, out);
  }
}

// Whole blocks go straight to where they are wanted if that can take them; others through a buffer.
void InputFile::read_direct(std::uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const auto address = reinterpret_cast<std::uintptr_t>(out.data());
    const std::size_t whole = out.size() / kDiskBlock * kDiskBlock;
    const bool straight = whole > 0 && offset % kDiskBlock == 0 && address % kDiskBlock == 0;
    // Most offsets are in the middle of a block: one more than what is asked for.
    if (!straight && buffer_.size() == 0) buffer_ = AlignedBuffer(kBlockBytes + kDiskBlock);
    const std::uint64_t first = offset / kDiskBlock * kDiskBlock;
    const auto skipped = static_cast<std::size_t>(offset - first);
    const std::size_t wanted =
        straight ? whole
                 : std::min(buffer_.size(),
                            (skipped + out.size() + kDiskBlock - 1) / kDiskBlock * kDiskBlock);
    std::byte* to = straight ? out.data() : buffer_.data();
    const ssize_t count = ::pread(direct_, to, wanted, static_cast<off_t>(first));
    if (count < 0 && errno == EINTR) continue;
    // Not every file system that opens so also reads so; and the end of a file is no whole block.
    if (count <= static_cast<ssize_t>(skipped)) return read_with(descriptor_, offset, out);
    const std::size_t got = std::min(out.size(), static_cast<std::size_t>(count) - skipped);
    if (!straight) std::memcpy(out.data(), to + skipped, got);
    out = out.subspan(got);
    offset += got;
  }
}

void InputFile::read_with(int descriptor, std::uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t count = ::pread(descriptor, out.data(), out.size(), static_cast<off_t>(offset));
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
