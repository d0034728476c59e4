#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>

namespace trireme::data {

// A file seen as read-only memory. Opening reads nothing: pages arrive when touched, so a
// terabyte costs address space only. The file must not shrink while it is mapped.
class MappedFile {
 public:
  // Throws DataError: missing if the file cannot be opened, corrupt if it is not a plain file.
  explicit MappedFile(const std::string& path);
  MappedFile(MappedFile&& other) noexcept
      : path_(std::move(other.path_)), bytes_(std::exchange(other.bytes_, {})) {}
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  const std::string& path() const { return path_; }
  std::int64_t size() const { return static_cast<std::int64_t>(bytes_.size()); }  // bytes
  std::span<const std::byte> bytes() const { return bytes_; }

  // The little-endian value at `offset`, which need not be aligned and must be inside.
  template <class Value>
  Value load(std::int64_t offset) const {
    Value value;
    std::memcpy(&value, bytes_.data() + offset, sizeof(Value));
    return value;
  }

 private:
  std::string path_;
  std::span<const std::byte> bytes_;
};

}  // namespace trireme::data
