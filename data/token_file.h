#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "data/mapped_file.h"

namespace trireme::data {

// How one token is stored.
enum class TokenType { u8, i8, u16, i16, u32, i32, i64 };

std::int64_t bytes_of(TokenType type);

// A token file, opened and mapped, seen as one flat stream of tokens. It never changes, so
// any number of threads may read it.
class TokenFile {
 public:
  virtual ~TokenFile() = default;

  const std::string& path() const { return stream_.file.path(); }
  const std::string& format() const { return stream_.format; }
  std::int64_t tokens() const { return stream_.tokens; }
  std::int64_t token_bytes() const { return bytes_of(stream_.type); }

  // Copies tokens [first, first + out.size()). Throws std::out_of_range outside the stream
  // and DataError, naming the position, for a token that is no id: negative or above 2^31 - 1.
  void read(std::int64_t first, std::span<std::int32_t> out) const;

  // 16 digits that tell files apart: of the number of tokens, and of those at 64 places spread over
  // the stream. Reads at most 256 KiB.
  std::string fingerprint() const;

  // 0 if the format does not say where documents start.
  virtual std::int64_t documents() const = 0;

  // The token at which `document` starts; tokens() for document == documents(). Never
  // decreases. Throws std::out_of_range.
  virtual std::int64_t document_start(std::int64_t document) const = 0;

  // Checks what opening has only sampled. Reads the whole index; throws DataError.
  virtual void check_index() const = 0;

 protected:
  // Where the tokens lie: `tokens` of them in `file`, from byte `offset` to its end.
  struct Stream {
    MappedFile file;
    std::string format;
    TokenType type;
    std::int64_t offset;
    std::int64_t tokens;
  };

  explicit TokenFile(Stream stream) : stream_(std::move(stream)) {}

 private:
  Stream stream_;
};

// `path` is an llm.c .bin file, or the prefix of a Megatron pair PREFIX.bin and PREFIX.idx,
// or either of the two. Takes the same short time for any size. Throws DataError. The file is
// shared because training and validation are ranges of it.
std::shared_ptr<const TokenFile> open_token_file(const std::string& path);

// Reads every token and the whole index. Throws DataError naming the first token that is not
// an id below `vocab_size`, and its position.
void check_whole(const TokenFile& file, std::int64_t vocab_size);

// Throws DataError naming the first of `tokens` that is not an id below `vocab_size`; they
// were read from `file` at `first`.
void check_ids(const TokenFile& file, std::int64_t first, std::span<const std::int32_t> tokens,
               std::int64_t vocab_size);

}  // namespace trireme::data
