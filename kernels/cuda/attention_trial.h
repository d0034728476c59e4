#pragma once

#include <array>
#include <vector>

#include "kernels/memory.h"
#include "kernels/ops.h"
#include "kernels/tensor.h"

namespace trireme::kernels {

// Parts of a matrix whose errors are looked at one by one: blocks of a sequence's rows, the last of
// which may be smaller.
struct ErrorBlocks {
  Shape block;
  std::int64_t sequence = 0;  // rows
};

// The largest relative error of a block of a matrix of so many columns, by norm; NaN if there is
// any.
double largest_error(const std::vector<float>& values, const std::vector<float>& expected,
                     std::int64_t columns, const ErrorBlocks& blocks);

// An operation that ways are compared with: sizes, strides and dtype of one that is wanted, random
// numbers for what it is given, and memory of its own for all of it until this goes. What lies
// beside each other there does so here.
class AttentionTrial {
 public:
  AttentionTrial(Pool& pool, Stream& stream, const Attention& like);
  AttentionTrial(Pool& pool, Stream& stream, const AttentionBackward& like);

  const Attention& forward() const { return forward_; }
  const AttentionBackward& backward() const { return backward_; }

  // Results are no numbers until they are made again.
  void forget_results();

  // Keeps what a run has left, as what others should leave. Waits for the stream.
  void expect_these_results() { expected_ = results(); }

  // How far results are from those, at most: the relative error, by norm, of a head at 64 positions
  // one after the other, so that no tile of a kernel is lost among others. NaN if there is any.
  double error();

 private:
  struct Result {
    View view;
    ErrorBlocks blocks;
    bool is_logarithm = false;
  };

  View memory(Shape shape, Dtype dtype);
  std::array<View, 3> beside_each_other(const std::array<View, 3>& like);
  void randomize(const View& view);
  std::vector<std::vector<float>> results();

  Pool& pool_;
  Stream& stream_;
  std::vector<Tensor> memory_;
  std::vector<Result> results_;
  std::vector<std::vector<float>> expected_;
  std::uint32_t drawn_ = 0;  // matrices of random numbers
  Attention forward_;
  AttentionBackward backward_;
};

}  // namespace trireme::kernels
