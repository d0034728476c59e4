// Bytes as a safetensors file: refused with a CheckpointError, or every tensor is inside the file.
#include <cstdlib>

#include "checkpoints/error.h"
#include "checkpoints/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trireme::checkpoints;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  try {
    const auto length = safetensors_header_bytes(all, size, "fuzz");
    const auto found = parse_safetensors(all.substr(0, length), size, "fuzz");
    for (const auto& [name, tensor] : found.tensors) {
      if (tensor.begin > tensor.end || found.data_offset + tensor.end > size) std::abort();
      if (tensor.elements() < 0) std::abort();
    }
  } catch (const CheckpointError&) {
  }
  return 0;
}
