#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "data/added_tokens.h"
#include "data/pre_tokenizer.h"

namespace trireme::data {

// What a tokenizer.json of a byte-level byte-pair encoding says.
struct TokenizerJson {
  std::map<std::string, std::int32_t> vocabulary;           // tokens as they are written
  std::vector<std::pair<std::string, std::string>> merges;  // as written, the sooner first
  bool ignore_merges = false;                               // for pieces in the vocabulary
  bool normalizes = false;                                  // to Unicode form C
  std::vector<CuttingStep> cutting_steps;
  std::vector<AddedToken> added_tokens;
};

// `matches_specials` says whether special tokens will be looked for in text. Throws DataError
// naming the first part of the file that is wrong, or that would change ids and is not
// supported.
TokenizerJson read_tokenizer_json(const std::string& path, bool matches_specials);

}  // namespace trireme::data
