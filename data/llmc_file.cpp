#include "data/llmc_file.h"

#include <array>
#include <stdexcept>

#include "data/error.h"

namespace trireme::data {
namespace {

constexpr std::int64_t kHeaderBytes = 256 * 4;

struct Variant {
  std::int32_t magic;
  std::int32_t version;
  TokenType type;
  const char* name;
};

constexpr std::array kVariants = {
    Variant{20240520, 1, TokenType::u16, "llm.c GPT-2"},
    Variant{20240801, 7, TokenType::u32, "llm.c Llama 3"},
};

class LlmcFile : public TokenFile {
 public:
  explicit LlmcFile(Stream stream) : TokenFile(std::move(stream)) {}
  static std::shared_ptr<const TokenFile> open(const std::string& path);

  std::int64_t documents() const override { return 0; }
  std::int64_t document_start(std::int64_t) const override {
    throw std::out_of_range(path() + ": llm.c files do not say where documents start");
  }
  void check_index() const override {}
};

[[noreturn]] void refuse(const std::string& path, const std::string& what) {
  throw DataError(Fault::corrupt, path + ": " + what);
}

Variant variant_of(const MappedFile& file) {
  if (file.size() < kHeaderBytes) {
    refuse(file.path(), "has " + std::to_string(file.size()) +
                            " bytes, expected an llm.c token file with a header of 1024, or an "
                            ".idx file beside it");
  }
  const auto magic = file.load<std::int32_t>(0);
  const auto version = file.load<std::int32_t>(4);
  for (const Variant& variant : kVariants) {
    if (variant.magic != magic) continue;
    if (variant.version == version) return variant;
    refuse(file.path(), "is version " + std::to_string(version) + " of an " + variant.name +
                            " token file, expected " + std::to_string(variant.version));
  }
  refuse(file.path(), "starts with " + std::to_string(magic) +
                          ", expected 20240520 or 20240801 of an llm.c token file, or an .idx "
                          "file beside it");
}

}  // namespace

std::shared_ptr<const TokenFile> LlmcFile::open(const std::string& path) {
  MappedFile file(path);
  const Variant variant = variant_of(file);
  const std::int64_t tokens = file.load<std::int32_t>(8);
  if (tokens <= 0) {
    refuse(path, "holds " + std::to_string(tokens) + " tokens, expected at least one");
  }
  const std::int64_t expected = kHeaderBytes + tokens * bytes_of(variant.type);
  if (file.size() != expected) {
    refuse(path, "has " + std::to_string(file.size()) + " bytes, expected " +
                     std::to_string(expected) + " for " + std::to_string(tokens) + " tokens");
  }
  return std::make_shared<LlmcFile>(Stream{.file = std::move(file),
                                           .format = variant.name,
                                           .type = variant.type,
                                           .offset = kHeaderBytes,
                                           .tokens = tokens});
}

std::shared_ptr<const TokenFile> open_llmc_file(const std::string& path) {
  return LlmcFile::open(path);
}

}  // namespace trireme::data
