#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trireme::data {

// A token beside the vocabulary, as "<|endoftext|>".
struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  bool special = false;
};

// Finds added tokens in text: the leftmost first, of several at one place the longest.
class AddedTokenSearch {
 public:
  struct Match {
    std::size_t first;
    std::size_t last;  // one past the end, in bytes
    std::int32_t id;
  };

  explicit AddedTokenSearch(std::vector<AddedToken> tokens);

  std::optional<Match> next(std::string_view text, std::size_t from) const;

 private:
  std::array<std::vector<AddedToken>, 256> by_first_byte_;  // the longest first
  bool empty_;
};

}  // namespace trireme::data
