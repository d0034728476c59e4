#include "data/byte_pair.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>
#include <stdexcept>

namespace trireme::data {
namespace {

constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

std::uint64_t pair_of(std::int32_t left, std::int32_t right) {
  return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint32_t>(right);
}

std::size_t hash(std::uint64_t pair) {
  pair *= 0x9e3779b97f4a7c15u;
  return static_cast<std::size_t>(pair ^ (pair >> 32));
}

}  // namespace

BytePair::BytePair(Vocabulary vocabulary) : bytes_(vocabulary.bytes) {
  for (auto& [piece, id] : vocabulary.whole_pieces) whole_pieces_.emplace(piece, id);
  // At most half full, so that a search for a pair that is not there ends soon.
  slots_.resize(std::bit_ceil(2 * vocabulary.merges.size() + 1), Slot{.pair = 0, .rank = kNone});
  for (const Merge& merge : vocabulary.merges) {
    const std::uint64_t pair = pair_of(merge.left, merge.right);
    std::size_t slot = hash(pair) & (slots_.size() - 1);
    while (slots_[slot].rank != kNone && slots_[slot].pair != pair) {
      slot = (slot + 1) & (slots_.size() - 1);
    }
    // Of a pair that is listed twice, the later place counts, as in the reference.
    slots_[slot] = {.pair = pair, .rank = static_cast<std::uint32_t>(results_.size())};
    results_.push_back(merge.result);
  }
}

void BytePair::encode(std::string_view piece, Scratch& scratch,
                      std::vector<std::int32_t>& ids) const {
  if (!whole_pieces_.empty()) {
    if (const auto whole = whole_pieces_.find(piece); whole != whole_pieces_.end()) {
      return ids.push_back(whole->second);
    }
  }
  start(piece, scratch);
  while (!scratch.candidates.empty()) {
    std::ranges::pop_heap(scratch.candidates, std::greater<>());
    const std::uint64_t best = scratch.candidates.back();
    scratch.candidates.pop_back();
    const auto symbol = static_cast<std::uint32_t>(best);
    // A candidate is stale if one of its symbols has been merged since.
    if (scratch.symbols[symbol].rank == best >> 32) merge(symbol, scratch);
  }
  for (std::uint32_t i = 0; i < scratch.symbols.size(); i = scratch.symbols[i].next) {
    ids.push_back(scratch.symbols[i].id);
  }
}

std::uint32_t BytePair::rank(std::int32_t left, std::int32_t right) const {
  const std::uint64_t pair = pair_of(left, right);
  std::size_t slot = hash(pair) & (slots_.size() - 1);
  while (slots_[slot].rank != kNone && slots_[slot].pair != pair) {
    slot = (slot + 1) & (slots_.size() - 1);
  }
  return slots_[slot].rank;
}

void BytePair::start(std::string_view piece, Scratch& scratch) const {
  if (piece.size() >= kNone) throw std::length_error("a piece of text of 4 GiB or more");
  const auto size = static_cast<std::uint32_t>(piece.size());
  scratch.symbols.resize(size);
  for (std::uint32_t i = 0; i < size; ++i) {
    scratch.symbols[i] = {.id = bytes_[static_cast<unsigned char>(piece[i])],
                          .previous = i - 1,
                          .next = i + 1,
                          .rank = kNone};
  }
  for (std::uint32_t i = 0; i + 1 < size; ++i) update_rank(i, scratch);
}

void BytePair::update_rank(std::uint32_t symbol, Scratch& scratch) const {
  Symbol& left = scratch.symbols[symbol];
  left.rank = kNone;
  if (left.next >= scratch.symbols.size()) return;
  left.rank = rank(left.id, scratch.symbols[left.next].id);
  if (left.rank == kNone) return;
  scratch.candidates.push_back(static_cast<std::uint64_t>(left.rank) << 32 | symbol);
  std::ranges::push_heap(scratch.candidates, std::greater<>());
}

void BytePair::merge(std::uint32_t symbol, Scratch& scratch) const {
  Symbol& left = scratch.symbols[symbol];
  Symbol& right = scratch.symbols[left.next];
  left.id = results_[left.rank];
  right.rank = kNone;
  left.next = right.next;
  if (left.next < scratch.symbols.size()) scratch.symbols[left.next].previous = symbol;
  update_rank(symbol, scratch);
  if (symbol > 0) update_rank(left.previous, scratch);
}

}  // namespace trireme::data
