// Bytes as a manifest, with a digest that fits: refused with a CheckpointError, or as good as one
// that we write, and the same when it is written and read again.
#include <cstdlib>

#include "checkpoints/error.h"
#include "checkpoints/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trireme::checkpoints;
  std::string text(reinterpret_cast<const char*>(data), size);
  text += "\"manifest_xxh3_128\": \"" + digest_of(text).hex() + "\"\n}\n";
  try {
    const Manifest found = parse_manifest(text, "fuzz");
    for (const StoredTensor& tensor : found.tensors) {
      for (const StoredSlice& slice : tensor.slices) {
        const auto& file = found.files.at(static_cast<std::size_t>(slice.file));
        if (slice.offset + static_cast<std::uint64_t>(slice.region.size()) > file.bytes)
          std::abort();
      }
    }
    const std::string written = manifest_text(found);
    if (manifest_text(parse_manifest(written, "again")) != written) std::abort();
  } catch (const CheckpointError&) {
  }
  return 0;
}
