#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/mapped_file.h"
#include "data/token_file.h"

namespace trireme::data {

// The .idx file of a Megatron pair. A document is one or more sequences; the tokens of all
// sequences follow each other in the .bin file.
class SequenceIndex {
 public:
  // `stored_bytes` is the size of the .bin file. Samples the arrays; throws DataError.
  SequenceIndex(const std::string& path, std::int64_t stored_bytes);

  TokenType type() const { return type_; }
  std::int64_t documents() const { return document_entries_ - 1; }

  // The token at which a sequence or a document starts; one past the last is allowed.
  std::int64_t sequence_start(std::int64_t sequence) const;
  std::int64_t document_start(std::int64_t document) const;

  // Checks every entry; throws DataError.
  void check_all() const;

 private:
  [[noreturn]] void refuse(const std::string& what) const;
  std::int64_t length(std::int64_t sequence) const;          // tokens
  std::int64_t pointer(std::int64_t sequence) const;         // bytes
  std::int64_t first_sequence(std::int64_t document) const;  // may be documents()

  void read_header();
  void read_counts();
  void check_documents(std::int64_t stride) const;
  bool pointers_hold(std::int64_t stride) const;
  void add_up_lengths();

  MappedFile file_;
  TokenType type_ = TokenType::u16;
  std::int64_t tokens_ = 0;
  std::int64_t sequences_ = 0;
  std::int64_t document_entries_ = 0;

  // Only if the pointers are wrong: the first token of every kBlock-th sequence.
  std::optional<std::vector<std::int64_t>> block_starts_;
};

}  // namespace trireme::data
