#include <algorithm>
#include <optional>
#include <set>
#include <stdexcept>

#include "data/added_tokens.h"
#include "data/byte_level.h"
#include "data/byte_pair.h"
#include "data/error.h"
#include "data/nfc.h"
#include "data/pre_tokenizer.h"
#include "data/tokenizer.h"
#include "data/tokenizer_json.h"
#include "data/utf8.h"

namespace trireme::data {
namespace {

// What files call the end of a document, the surest sign first.
constexpr const char* kEnds[] = {"<|endoftext|>", "<|end_of_text|>", "<｜end▁of▁sentence｜>",
                                 "</s>",          "<|im_end|>",      "<|eot_id|>",
                                 "<eos>"};

// What the ids of a file are in this library's terms.
struct Tables {
  std::vector<std::optional<std::string>> tokens;  // bytes of each id, if it is in use
  BytePair::Vocabulary vocabulary;
  std::vector<AddedToken> matched;  // looked for in text
  std::int32_t end = -1;
};

// Turns what the file says into tables, or refuses what cannot be.
class TableMaker {
 public:
  TableMaker(const std::string& path, const TokenizerJson& file) : path_(path), file_(file) {}

  Tables make(Specials specials) {
    for (const auto& [written, id] : file_.vocabulary) add_token(written, id);
    for (const AddedToken& added : file_.added_tokens) {
      token(added.id) = added.content;
      if (!added.special || specials == Specials::as_tokens) tables_.matched.push_back(added);
    }
    for (int byte = 0; byte < 256; ++byte) find_byte(byte);
    for (const auto& [left, right] : file_.merges) {
      tables_.vocabulary.merges.push_back({id_of(left), id_of(right), id_of(left + right)});
    }
    find_end();
    return std::move(tables_);
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw DataError(Fault::corrupt, path_ + ": " + what);
  }

  std::optional<std::string>& token(std::int32_t id) {
    constexpr std::int32_t kMost = 1 << 24;  // far above any vocabulary; bounds the table
    if (id < 0 || id >= kMost) {
      refuse("has token id " + std::to_string(id) + ", expected 0 to " + std::to_string(kMost - 1));
    }
    const auto index = static_cast<std::size_t>(id);
    if (index >= tables_.tokens.size()) tables_.tokens.resize(index + 1);
    return tables_.tokens[index];
  }

  void add_token(const std::string& written, std::int32_t id) {
    const std::optional<std::string> bytes = bytes_of_characters(written);
    if (token(id)) refuse("gives two tokens the id " + std::to_string(id));
    token(id) = bytes.value_or(written);
    if (!bytes) return;
    if (file_.ignore_merges) tables_.vocabulary.whole_pieces.emplace(*bytes, id);
    if (bytes->size() == 1) byte_ids_.emplace(bytes->front(), id);
  }

  void find_byte(int byte) {
    const auto found = byte_ids_.find(static_cast<char>(byte));
    if (found == byte_ids_.end()) {
      refuse("has no token for byte " + std::to_string(byte) + ", expected one for each byte");
    }
    tables_.vocabulary.bytes[static_cast<std::size_t>(byte)] = found->second;
  }

  std::int32_t id_of(const std::string& written) const {
    const auto found = file_.vocabulary.find(written);
    if (found == file_.vocabulary.end()) {
      refuse("has merges that need the token \"" + written + "\", which is not in its vocabulary");
    }
    return found->second;
  }

  void find_end() {
    for (const std::string name : kEnds) {
      const auto added = std::ranges::find(file_.added_tokens, name, &AddedToken::content);
      const auto plain = file_.vocabulary.find(name);
      if (added != file_.added_tokens.end()) {
        tables_.end = added->id;
      } else if (plain != file_.vocabulary.end()) {
        tables_.end = plain->second;
      }
      if (tables_.end >= 0) return;
    }
    refuse("has no token that ends a document, as <|endoftext|> or <|end_of_text|>");
  }

  const std::string& path_;
  const TokenizerJson& file_;
  std::map<char, std::int32_t> byte_ids_;
  Tables tables_;
};

class BytePairTokenizer : public Tokenizer {
 public:
  BytePairTokenizer(const std::string& path, const TokenizerJson& file, Tables tables)
      : path_(path),
        normalizes_(file.normalizes),
        pre_tokenizer_(file.cutting_steps),
        added_tokens_(std::move(tables.matched)),
        merges_(std::move(tables.vocabulary)),
        tokens_(std::move(tables.tokens)),
        end_(tables.end) {}

  std::vector<std::int32_t> encode(std::string_view text) const override;
  std::string decode(std::span<const std::int32_t> ids) const override;
  std::int64_t vocab_size() const override { return static_cast<std::int64_t>(tokens_.size()); }
  std::int32_t end_of_document() const override { return end_; }
  std::string name() const override { return path_; }

 private:
  // What encoding one text needs and leaves behind.
  struct Work {
    PreTokenizer::Cutter cutter;
    BytePair::Scratch scratch = {};
    std::vector<std::int32_t> ids = {};
  };

  void encode_plain(std::string_view text, Work& work) const;
  void encode_utf8(std::string_view text, Work& work) const;

  std::string path_;
  bool normalizes_;
  PreTokenizer pre_tokenizer_;
  AddedTokenSearch added_tokens_;
  BytePair merges_;
  std::vector<std::optional<std::string>> tokens_;
  std::int32_t end_;
};

std::vector<std::int32_t> BytePairTokenizer::encode(std::string_view text) const {
  Work work{.cutter = PreTokenizer::Cutter(pre_tokenizer_)};
  std::size_t from = 0;
  while (const auto match = added_tokens_.next(text, from)) {
    encode_plain(text.substr(from, match->first - from), work);
    work.ids.push_back(match->id);
    from = match->last;
  }
  encode_plain(text.substr(from), work);
  return std::move(work.ids);
}

void BytePairTokenizer::encode_plain(std::string_view text, Work& work) const {
  while (!text.empty()) {
    const std::size_t valid = valid_utf8_prefix(text);
    encode_utf8(text.substr(0, valid), work);
    text.remove_prefix(valid);
    if (text.empty()) return;
    // A byte that is not UTF-8 is a piece of its own, so that it survives.
    merges_.encode(text.substr(0, 1), work.scratch, work.ids);
    text.remove_prefix(1);
  }
}

void BytePairTokenizer::encode_utf8(std::string_view text, Work& work) const {
  const auto encode_piece = [&](std::string_view piece) {
    merges_.encode(piece, work.scratch, work.ids);
  };
  if (normalizes_) {
    work.cutter.cut(to_nfc(text), encode_piece);
  } else {
    work.cutter.cut(text, encode_piece);
  }
}

std::string BytePairTokenizer::decode(std::span<const std::int32_t> ids) const {
  std::string text;
  for (const std::int32_t id : ids) {
    if (id < 0 || id >= vocab_size() || !tokens_[static_cast<std::size_t>(id)]) {
      throw DataError(Fault::corrupt, path_ + ": id " + std::to_string(id) +
                                          " is not in the vocabulary of " +
                                          std::to_string(vocab_size()));
    }
    text += *tokens_[static_cast<std::size_t>(id)];
  }
  return text;
}

}  // namespace

std::unique_ptr<Tokenizer> make_byte_pair(const std::string& path, Specials specials) {
  const TokenizerJson file = read_tokenizer_json(path, specials == Specials::as_tokens);
  try {
    return std::make_unique<BytePairTokenizer>(path, file, TableMaker(path, file).make(specials));
  } catch (const std::invalid_argument& error) {
    throw DataError(Fault::corrupt, path + ": pre_tokenizer pattern " + error.what());
  }
}

}  // namespace trireme::data
