#include "data/tokenizer.h"

#include <filesystem>

#include "data/error.h"

namespace trireme::data {

std::unique_ptr<Tokenizer> make_tokenizer(const std::string& spec) {
  if (spec == "bytes") return make_byte_tokenizer();
  std::error_code ignored;
  if (std::filesystem::is_directory(spec, ignored)) {
    for (const char* file : {"tokenizer.json", "tokenizer.model"}) {
      const std::filesystem::path path = std::filesystem::path(spec) / file;
      if (std::filesystem::exists(path, ignored)) return make_tokenizer(path.string());
    }
  }
  if (spec.ends_with(".json")) return make_byte_pair(spec);
  if (spec.ends_with(".model")) return make_sentence_piece(spec);
  throw DataError(Fault::missing,
                  "tokenizer \"" + spec +
                      "\": expected \"bytes\", a tokenizer.json file or the folder it is in, or a "
                      "SentencePiece .model file");
}

}  // namespace trireme::data
