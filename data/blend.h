#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace trireme::data {

// Where a sample of a blend comes from: it is number `local` of those of `source`.
struct Place {
  std::size_t source = 0;
  std::int64_t local = 0;

  bool operator==(const Place&) const = default;
};

// Shares an endless stream of samples among sources by weight, evenly: after any number of
// samples, every source has its share to within two, and two sources to within one half.
// Nothing is stored but the weights; the arithmetic is exact in integers.
class Blend {
 public:
  // Throws std::invalid_argument unless there are weights, all positive and finite.
  explicit Blend(std::span<const double> weights);

  Place place(std::int64_t index) const;

  // How many of the first `samples` samples each source gives.
  std::vector<std::int64_t> counts(std::int64_t samples) const;

 private:
  // A set of sources is split in two, again and again. Children are numbers of splits, or ~s
  // for source s alone. Splits are made as in a Huffman code, because a heavy source that is
  // split off early leaves rounding errors little room to add up.
  struct Split {
    std::uint64_t left_share;  // in units of 2^-64
    std::int64_t left;
    std::int64_t right;
  };

  std::size_t sources_;
  std::int64_t root_ = 0;
  std::vector<Split> splits_;
};

}  // namespace trireme::data
