#include "data/token_file_writer.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <limits>
#include <string_view>
#include <utility>

#include "data/error.h"

namespace trireme::data {
namespace {

constexpr std::int64_t kSmallVocabulary = 65500;  // Megatron's own limit for u16
constexpr std::string_view kMagic("MMIDIDX\0\0", 9);

template <class Value>
void append_value(OutputFile& file, Value value) {
  file.append(std::as_bytes(std::span(&value, 1)));
}

}  // namespace

TokenFileWriter::TokenFileWriter(const std::string& prefix, std::int64_t vocab_size)
    : prefix_(prefix),
      vocab_size_(vocab_size),
      token_bytes_(vocab_size < kSmallVocabulary ? 2 : 4),
      tokens_file_(prefix + ".bin"),
      index_file_(prefix + ".idx") {}

void TokenFileWriter::add_document(std::span<const std::int32_t> tokens) {
  const auto fits = [&](std::int32_t token) { return token >= 0 && token < vocab_size_; };
  const auto foreign = std::ranges::find_if_not(tokens, fits);
  if (foreign != tokens.end()) {
    throw DataError(Fault::corrupt,
                    prefix_ + ".bin: token " + std::to_string(foreign - tokens.begin()) +
                        " of document " + std::to_string(documents()) + " has id " +
                        std::to_string(*foreign) + ", expected ids below the vocabulary of " +
                        std::to_string(vocab_size_));
  }
  if (!std::in_range<std::int32_t>(tokens.size())) {
    throw DataError(Fault::corrupt, prefix_ + ".bin: document " + std::to_string(documents()) +
                                        " has " + std::to_string(tokens.size()) +
                                        " tokens, expected at most 2147483647");
  }
  append_tokens(tokens);
  lengths_.push_back(static_cast<std::int32_t>(tokens.size()));
  tokens_ += static_cast<std::int64_t>(tokens.size());
}

void TokenFileWriter::append_tokens(std::span<const std::int32_t> tokens) {
  if (token_bytes_ == 4) return tokens_file_.append(std::as_bytes(tokens));
  std::array<std::uint16_t, 4096> block;
  while (!tokens.empty()) {
    const std::size_t count = std::min(tokens.size(), block.size());
    std::ranges::transform(tokens.first(count), block.begin(),
                           [](std::int32_t token) { return static_cast<std::uint16_t>(token); });
    tokens_file_.append(std::as_bytes(std::span(block).first(count)));
    tokens = tokens.subspan(count);
  }
}

void TokenFileWriter::finish() {
  if (tokens_ == 0) {
    throw DataError(Fault::corrupt, prefix_ + ".bin: there are no tokens to write");
  }
  write_index();
  tokens_file_.close();
  index_file_.close();
  // An old index must not describe the new tokens, not even for a moment.
  std::error_code error;
  std::filesystem::remove(prefix_ + ".idx", error);
  if (error) throw DataError(Fault::io, prefix_ + ".idx: cannot be removed: " + error.message());
  tokens_file_.publish();
  sync_folder_of(prefix_);
  index_file_.publish();
  sync_folder_of(prefix_);
}

void TokenFileWriter::write_index() {
  index_file_.append(std::as_bytes(std::span(kMagic)));
  append_value<std::uint64_t>(index_file_, 1);
  append_value<std::uint8_t>(index_file_, token_bytes_ == 2 ? 8 : 4);
  append_value<std::uint64_t>(index_file_, lengths_.size());
  append_value<std::uint64_t>(index_file_, lengths_.size() + 1);
  index_file_.append(std::as_bytes(std::span(lengths_)));
  std::int64_t pointer = 0;  // bytes
  for (const std::int32_t length : lengths_) {
    append_value(index_file_, pointer);
    pointer += length * token_bytes_;
  }
  // Every document is one sequence.
  for (std::int64_t document = 0; document <= documents(); ++document) {
    append_value(index_file_, document);
  }
}

}  // namespace trireme::data
