// Bytes as a Megatron .idx of a .bin of as many bytes as the first of them say: refused with a
// DataError, or documents are in order and inside.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "data/error.h"
#include "data/sequence_index.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trireme::data;
  if (size < 1) return 0;
  static const int file = memfd_create("index", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(file);
  if (ftruncate(file, 0) != 0 || pwrite(file, data + 1, size - 1, 0) < 0) std::abort();
  try {
    const SequenceIndex index(path, data[0]);
    index.check_all();
    const std::int64_t tokens = data[0] / bytes_of(index.type());
    std::int64_t before = 0;
    for (std::int64_t document = 0; document <= index.documents(); ++document) {
      const std::int64_t start = index.document_start(document);
      if (start < before || start > tokens) std::abort();
      before = start;
    }
  } catch (const DataError&) {
  }
  return 0;
}
