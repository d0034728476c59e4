#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace trireme::data {

// Two neighbors that become one symbol.
struct Merge {
  std::int32_t left;
  std::int32_t right;
  std::int32_t result;
};

// Byte-pair encoding (https://arxiv.org/abs/1508.07909) of one piece of text: starting from
// bytes, the pair that comes first in the list of merges is merged until none is left.
class BytePair {
 public:
  struct Vocabulary {
    std::array<std::int32_t, 256> bytes;  // the id of each byte
    std::vector<Merge> merges;            // the earlier, the sooner
    // Pieces that are a token as they are, whatever the merges would make of them.
    std::unordered_map<std::string, std::int32_t> whole_pieces;
  };

  // Memory to use again from piece to piece, one per thread.
  struct Scratch;

  explicit BytePair(Vocabulary vocabulary);

  // Appends the ids of `piece`. Takes n log n time for n bytes. Throws std::length_error for
  // a piece of 4 GiB or more.
  void encode(std::string_view piece, Scratch& scratch, std::vector<std::int32_t>& ids) const;

 private:
  struct Symbol {
    std::int32_t id;
    std::uint32_t previous;
    std::uint32_t next;
    std::uint32_t rank;  // of the merge with the next symbol
  };
  struct Slot {
    std::uint64_t pair;
    std::uint32_t rank;
  };
  // Lets pieces be looked up without copying them.
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };

  std::uint32_t rank(std::int32_t left, std::int32_t right) const;
  void start(std::string_view piece, Scratch& scratch) const;
  void update_rank(std::uint32_t symbol, Scratch& scratch) const;
  void merge(std::uint32_t symbol, Scratch& scratch) const;

  std::array<std::int32_t, 256> bytes_;
  std::vector<std::int32_t> results_;  // of each merge, by rank
  std::vector<Slot> slots_;            // pair to rank, a hash table with open addresses
  std::unordered_map<std::string, std::int32_t, Hash, std::equal_to<>> whole_pieces_;
};

struct BytePair::Scratch {
  std::vector<Symbol> symbols;
  std::vector<std::uint64_t> candidates;  // a heap of rank << 32 | symbol, lowest on top
};

}  // namespace trireme::data
