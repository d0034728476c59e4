#include "data/token_file.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

#include "data/error.h"
#include "data/llmc_file.h"
#include "data/megatron_file.h"
#include "data/permutation.h"

namespace trireme::data {
namespace {

// Returns how many tokens were copied before the first that is no id.
template <class Stored>
std::size_t copy(const std::byte* from, std::span<std::int32_t> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    Stored value;
    std::memcpy(&value, from + i * sizeof(Stored), sizeof(Stored));
    if (!std::in_range<std::int32_t>(value) || std::cmp_less(value, 0)) return i;
    out[i] = static_cast<std::int32_t>(value);
  }
  return out.size();
}

std::size_t copy(TokenType type, const std::byte* from, std::span<std::int32_t> out) {
  switch (type) {
    case TokenType::u8: return copy<std::uint8_t>(from, out);
    case TokenType::i8: return copy<std::int8_t>(from, out);
    case TokenType::u16: return copy<std::uint16_t>(from, out);
    case TokenType::i16: return copy<std::int16_t>(from, out);
    case TokenType::u32: return copy<std::uint32_t>(from, out);
    case TokenType::i32: return copy<std::int32_t>(from, out);
    case TokenType::i64: return copy<std::int64_t>(from, out);
  }
  throw std::invalid_argument("unknown token type");
}

bool present(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

}  // namespace

std::int64_t bytes_of(TokenType type) {
  switch (type) {
    case TokenType::u8:
    case TokenType::i8: return 1;
    case TokenType::u16:
    case TokenType::i16: return 2;
    case TokenType::u32:
    case TokenType::i32: return 4;
    case TokenType::i64: return 8;
  }
  throw std::invalid_argument("unknown token type");
}

void TokenFile::read(std::int64_t first, std::span<std::int32_t> out) const {
  const auto count = static_cast<std::int64_t>(out.size());
  if (first < 0 || first > tokens() || count > tokens() - first) {
    throw std::out_of_range(path() + ": " + std::to_string(count) + " tokens from token " +
                            std::to_string(first) + " on, of " + std::to_string(tokens()));
  }
  const std::byte* from = stream_.file.bytes().data() + stream_.offset + first * token_bytes();
  const std::size_t copied = copy(stream_.type, from, out);
  if (copied < out.size()) {
    throw DataError(Fault::corrupt, path() + ": token " +
                                        std::to_string(first + static_cast<std::int64_t>(copied)) +
                                        " is not an id: negative or above 2147483647");
  }
}

std::string TokenFile::fingerprint() const {
  constexpr std::int64_t kPlaces = 64, kBytes = 4096;
  const auto all = stream_.file.bytes().subspan(static_cast<std::size_t>(stream_.offset));
  const auto size = static_cast<std::int64_t>(all.size());
  std::uint64_t sum = mix(static_cast<std::uint64_t>(tokens()), 0);
  for (std::int64_t place = 0; place < kPlaces; ++place) {
    const std::int64_t last = std::max<std::int64_t>(0, size - kBytes);
    const auto first = static_cast<std::size_t>(last * place / (kPlaces - 1));
    for (const std::byte byte :
         all.subspan(first, static_cast<std::size_t>(std::min(size, kBytes)))) {
      sum = (sum ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3u;  // FNV-1a
    }
    sum = mix(sum, static_cast<std::uint64_t>(place));
  }
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(sum));
  return digits;
}

std::shared_ptr<const TokenFile> open_token_file(const std::string& path) {
  std::string prefix = path;
  for (const char* ending : {".bin", ".idx"}) {
    if (path.ends_with(ending)) prefix = path.substr(0, path.size() - 4);
  }
  if (path.ends_with(".idx") || present(prefix + ".idx")) return open_megatron_file(prefix);
  if (present(path)) return open_llmc_file(path);
  if (present(prefix + ".bin")) return open_llmc_file(prefix + ".bin");
  throw DataError(Fault::missing, path + ": there is no such token file, and no " + prefix +
                                      ".bin with " + prefix + ".idx");
}

void check_ids(const TokenFile& file, std::int64_t first, std::span<const std::int32_t> tokens,
               std::int64_t vocab_size) {
  const auto fits = [&](std::int32_t token) { return token >= 0 && token < vocab_size; };
  const auto foreign = std::ranges::find_if_not(tokens, fits);
  if (foreign == tokens.end()) return;
  throw DataError(Fault::corrupt,
                  file.path() + ": token " + std::to_string(first + (foreign - tokens.begin())) +
                      " has id " + std::to_string(*foreign) +
                      ", expected ids below the vocabulary of " + std::to_string(vocab_size));
}

void check_whole(const TokenFile& file, std::int64_t vocab_size) {
  constexpr std::int64_t kBlock = 1 << 20;  // tokens; large enough to read at disk speed
  file.check_index();
  std::vector<std::int32_t> block(static_cast<std::size_t>(std::min(kBlock, file.tokens())));
  for (std::int64_t first = 0; first < file.tokens(); first += kBlock) {
    const std::int64_t count = std::min(kBlock, file.tokens() - first);
    const std::span<std::int32_t> tokens(block.data(), static_cast<std::size_t>(count));
    file.read(first, tokens);
    check_ids(file, first, tokens, vocab_size);
  }
}

}  // namespace trireme::data
