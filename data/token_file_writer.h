#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/output_file.h"

namespace trireme::data {

// Writes a Megatron pair PREFIX.bin and PREFIX.idx. Documents are streamed to the disk; four
// bytes per document stay in memory. Until `finish`, only PREFIX.bin.tmp and PREFIX.idx.tmp
// exist, and they go away with a writer that did not finish.
class TokenFileWriter {
 public:
  // Tokens are stored as u16 if the vocabulary has fewer than 65500 ids, else as i32.
  TokenFileWriter(const std::string& prefix, std::int64_t vocab_size);

  // Throws DataError: io if the disk refuses, corrupt if a token is not in the vocabulary.
  void add_document(std::span<const std::int32_t> tokens);

  // Publishes the pair, the index last: a reader sees all of the new pair or no index.
  // Throws DataError: io, or corrupt if there are no tokens at all.
  void finish();

  std::int64_t documents() const { return static_cast<std::int64_t>(lengths_.size()); }
  std::int64_t tokens() const { return tokens_; }

 private:
  void append_tokens(std::span<const std::int32_t> tokens);
  void write_index();

  std::string prefix_;
  std::int64_t vocab_size_;
  std::int64_t token_bytes_;
  std::int64_t tokens_ = 0;
  std::vector<std::int32_t> lengths_;  // tokens of each document
  OutputFile tokens_file_;
  OutputFile index_file_;
};

}  // namespace trireme::data
