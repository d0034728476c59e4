#include "data/error.h"
#include "data/tokenizer.h"

namespace trireme::data {
namespace {

class ByteTokenizer : public Tokenizer {
 public:
  std::vector<std::int32_t> encode(std::string_view text) const override {
    std::vector<std::int32_t> ids;
    ids.reserve(text.size());
    for (const char byte : text) ids.push_back(static_cast<unsigned char>(byte));
    return ids;
  }

  std::string decode(std::span<const std::int32_t> ids) const override {
    std::string text;
    for (const std::int32_t id : ids) {
      if (id < 0 || id >= vocab_size()) {
        throw DataError(Fault::corrupt, "byte tokenizer: id " + std::to_string(id) +
                                            " is outside the vocabulary of 257");
      }
      if (id == end_of_document()) {
        text += "<|endoftext|>";
      } else {
        text += static_cast<char>(id);
      }
    }
    return text;
  }

  std::int64_t vocab_size() const override { return 257; }
  std::int32_t end_of_document() const override { return 256; }
  std::string name() const override { return "bytes"; }
};

}  // namespace

std::unique_ptr<Tokenizer> make_byte_tokenizer() { return std::make_unique<ByteTokenizer>(); }

}  // namespace trireme::data
