#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "checkpoints/aligned_buffer.h"
#include "checkpoints/block_queue.h"

namespace trireme::checkpoints {

// The door to the file system for everything that must be durable: what returned is on the disk,
// or will be once the named sync has returned. Every failure is a CheckpointError{io} that names
// the file and the system's reason; a failed sync is never tried again, because the kernel may
// have dropped the pages.
class Disk {
 public:
  // Called before each step with its name ("write", "sync", "rename", ...) and the file, so that
  // tests can fail or kill at every one. May throw.
  using Hook = std::function<void(std::string_view step, const std::filesystem::path& path)>;

  explicit Disk(Hook before = {}) : before_(std::move(before)) {}

  // A new file, written from its beginning to its end. Large ones go past the system's cache of
  // files where the file system allows it: they are not read again soon, and would push out what
  // is. Blocks are written while the next ones are filled.
  class File {
   public:
    File(const Disk& disk, std::filesystem::path path);
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File();

    // Takes the room for `bytes` now, where the file system can: a full disk shows before anything
    // is written.
    void reserve(std::uint64_t bytes);
    // What fails may show later, in finish at the latest.
    void write(std::span<const std::byte> bytes);
    // The content is on the disk when this returns. The name is after sync_folder.
    void finish();

   private:
    void flush();
    void write_block(std::span<const std::byte> block);
    void set_direct(bool direct);
    [[noreturn]] void fail(const std::string& what) const;

    const Disk& disk_;
    std::filesystem::path path_;
    int descriptor_ = -1;
    bool direct_ = false;
    std::unique_ptr<BlockQueue> blocks_;  // that pieces become
    std::span<std::byte> filling_;
    std::size_t filled_ = 0;
  };

  // Writes a whole small file and syncs it.
  void write_file(const std::filesystem::path& path, std::string_view content) const;
  // The same under another name first, so that `path` is always whole: old or new.
  void replace_file(const std::filesystem::path& path, std::string_view content) const;

  void make_folder(const std::filesystem::path& path) const;  // and those above it
  void sync_folder(const std::filesystem::path& path) const;
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) const;
  // Two folders change names at once, or one after the other where the file system cannot.
  void exchange(const std::filesystem::path& one, const std::filesystem::path& other) const;
  void remove_all(const std::filesystem::path& path) const;

  void step(std::string_view name, const std::filesystem::path& path) const {
    if (before_) before_(name, path);
  }

 private:
  Hook before_;
};

// A file that is read in pieces, by one thread. Throws CheckpointError{missing or io}.
class InputFile {
 public:
  explicit InputFile(std::filesystem::path path);
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  ~InputFile();

  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const { return size_; }

  // All of `out`, from byte `offset`. CheckpointError{corrupt} if the file ends before.
  void read(std::uint64_t offset, std::span<std::byte> out) const;

 private:
  void read_with(int descriptor, std::uint64_t offset, std::span<std::byte> out) const;
  void read_direct(std::uint64_t offset, std::span<std::byte> out) const;

  std::filesystem::path path_;
  int descriptor_ = -1;
  int direct_ = -1;  // the same past the system's cache of files, for large pieces; or -1
  mutable AlignedBuffer buffer_;
  std::uint64_t size_ = 0;
};

// A whole file of at most `most` bytes.
std::string read_file(const std::filesystem::path& path, std::uint64_t most);

}  // namespace trireme::checkpoints
