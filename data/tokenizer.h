#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trireme::data {

// Text to token ids and back. It never changes, so any number of threads may use it.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Adds nothing at either end. Throws DataError if the text cannot be encoded.
  virtual std::vector<std::int32_t> encode(std::string_view text) const = 0;

  // Throws DataError for an id outside the vocabulary.
  virtual std::string decode(std::span<const std::int32_t> ids) const = 0;

  // One more than the largest id.
  virtual std::int64_t vocab_size() const = 0;

  // The id to put after every document.
  virtual std::int32_t end_of_document() const = 0;

  // What `make_tokenizer` makes this tokenizer from.
  virtual std::string name() const = 0;
};

// What text that spells a special token, as "<|endoftext|>", means.
enum class Specials {
  as_text,    // text like any other: it comes from outside and must not control the model
  as_tokens,  // the special token
};

// 256 bytes, and 256 for end of document, which decodes to "<|endoftext|>".
std::unique_ptr<Tokenizer> make_byte_tokenizer();

// A SentencePiece .model file. Bytes that are not UTF-8 become U+FFFD. Throws DataError.
std::unique_ptr<Tokenizer> make_sentence_piece(const std::string& path);

// Byte-level byte-pair encoding from a Hugging Face tokenizer.json, as of GPT-2, Llama 3 and
// Qwen. Any bytes survive encoding and decoding, unless the file normalizes text. Throws
// DataError naming the part of the file that is not supported.
std::unique_ptr<Tokenizer> make_byte_pair(const std::string& path,
                                          Specials specials = Specials::as_text);

// From "bytes", a path that ends in .json or .model, or a folder with a tokenizer.json or
// tokenizer.model. Throws DataError.
std::unique_ptr<Tokenizer> make_tokenizer(const std::string& spec);

}  // namespace trireme::data
