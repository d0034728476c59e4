#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoints/disk.h"
#include "kernels/dtype.h"

namespace trireme::checkpoints {

// One tensor of a safetensors file (https://github.com/huggingface/safetensors).
struct SafeTensor {
  std::string dtype;  // "BF16"
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0, end = 0;  // bytes after the header

  std::int64_t elements() const;
};

// What a header says, after everything about it has been checked: its size, that it is JSON without
// double keys, that offsets are contiguous from 0 to the end of the file and fit shape and dtype.
struct SafetensorsHeader {
  std::uint64_t data_offset = 0;  // of the file
  std::map<std::string, SafeTensor> tensors;
  std::map<std::string, std::string> metadata;
};

// `start` is at least the first 8 bytes of a file of `file_bytes`. How many bytes the header takes,
// those 8 included. Throws CheckpointError{corrupt} naming `where`.
std::uint64_t safetensors_header_bytes(std::string_view start, std::uint64_t file_bytes,
                                       const std::string& where);
// `header` is all of them.
SafetensorsHeader parse_safetensors(std::string_view header, std::uint64_t file_bytes,
                                    const std::string& where);

class SafetensorsFile {
 public:
  // Throws CheckpointError{missing, io or corrupt}.
  explicit SafetensorsFile(const std::filesystem::path& path);

  const SafetensorsHeader& header() const { return header_; }
  const std::filesystem::path& path() const { return file_.path(); }

  // The values of a tensor as fp32. Throws CheckpointError{corrupt} for a dtype that is no float
  // of 2 to 8 bytes.
  std::vector<float> read(const std::string& name) const;

 private:
  InputFile file_;
  SafetensorsHeader header_;
};

// A tensor to be written.
struct SafeTensorPlan {
  std::string name;
  std::vector<std::int64_t> shape;
};

// Writes a file whose tensors come one after the other, in the order of `tensors`.
class SafetensorsWriter {
 public:
  // `dtype` is fp32, bf16 or fp16.
  SafetensorsWriter(const Disk& disk, const std::filesystem::path& path,
                    const std::vector<SafeTensorPlan>& tensors, kernels::Dtype dtype);

  void add(std::span<const float> values);
  void finish() { file_.finish(); }

 private:
  Disk::File file_;
  kernels::Dtype dtype_;
  std::vector<std::byte> converted_;
};

}  // namespace trireme::checkpoints
