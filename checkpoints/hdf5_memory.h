#pragma once

#include <hdf5.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace trireme::checkpoints {

// An HDF5 handle, closed by the function that belongs to its kind.
class Hdf5Handle {
 public:
  using Close = herr_t (*)(hid_t);

  // Throws CheckpointError{io}, saying what failed, if `id` is none.
  Hdf5Handle(hid_t id, Close close, const char* what);
  Hdf5Handle(Hdf5Handle&& other) noexcept;
  Hdf5Handle& operator=(Hdf5Handle&&) = delete;
  ~Hdf5Handle();

  operator hid_t() const { return id_; }

 private:
  hid_t id_;
  Close close_;
};

// Throws CheckpointError{io}, saying what failed, if `status` is negative.
void expect_hdf5(herr_t status, const char* what);

// The bytes that HDF5 has written to a file that exists only here; the rest of it is zeros.
class Hdf5Memory {
 public:
  std::uint64_t end = 0;  // of the file

  void write(std::uint64_t offset, std::span<const std::byte> bytes);
  void read(std::uint64_t offset, std::span<std::byte> out) const;

 private:
  static constexpr std::uint64_t kPage = 4096;

  std::map<std::uint64_t, std::vector<std::byte>> pages_;
};

// Creates an HDF5 file in `memory`, which must outlive the handle; the file is whole when that is
// closed.
Hdf5Handle create_in_memory(Hdf5Memory& memory);

}  // namespace trireme::checkpoints
