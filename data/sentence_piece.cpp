#include <sentencepiece_processor.h>

#include "data/error.h"
#include "data/mapped_file.h"
#include "data/tokenizer.h"

namespace trireme::data {
namespace {

class SentencePiece : public Tokenizer {
 public:
  explicit SentencePiece(const std::string& path) : path_(path) {
    const MappedFile file(path);
    const auto bytes = file.bytes();
    expect(model_.LoadFromSerializedProto(
        {reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
    if (model_.eos_id() < 0) {
      throw DataError(Fault::corrupt, path_ + ": has no end-of-sentence id to end documents with");
    }
  }

  std::vector<std::int32_t> encode(std::string_view text) const override {
    std::vector<int> ids;
    expect(model_.Encode({text.data(), text.size()}, &ids));
    return ids;
  }

  std::string decode(std::span<const std::int32_t> ids) const override {
    for (const std::int32_t id : ids) {
      if (id >= 0 && id < vocab_size()) continue;
      throw DataError(Fault::corrupt, path_ + ": id " + std::to_string(id) +
                                          " is outside the vocabulary of " +
                                          std::to_string(vocab_size()));
    }
    std::string text;
    expect(model_.Decode(std::vector<int>(ids.begin(), ids.end()), &text));
    return text;
  }

  std::int64_t vocab_size() const override { return model_.GetPieceSize(); }
  std::int32_t end_of_document() const override { return model_.eos_id(); }
  std::string name() const override { return path_; }

 private:
  void expect(const sentencepiece::util::Status& status) const {
    if (status.ok()) return;
    throw DataError(Fault::corrupt, path_ + ": SentencePiece says: " + status.ToString());
  }

  std::string path_;
  sentencepiece::SentencePieceProcessor model_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_sentence_piece(const std::string& path) {
  return std::make_unique<SentencePiece>(path);
}

}  // namespace trireme::data
