#pragma once

#include <vector>

#include "kernels/memory.h"
#include "kernels/ops.h"
#include "kernels/tensor.h"

namespace trireme::kernels {

// An operation that ways are compared with: sizes, strides and dtype of one that is wanted, random
// numbers for what it is given, and memory of its own for all of it until this goes.
class AttentionTrial {
 public:
  AttentionTrial(Pool& pool, Stream& stream, const Attention& like);
  AttentionTrial(Pool& pool, Stream& stream, const AttentionBackward& like);

  const Attention& forward() const { return forward_; }
  const AttentionBackward& backward() const { return backward_; }

  // Results are no numbers until they are made again.
  void forget_results();
  // What a run has left, result by result. Waits for the stream.
  std::vector<std::vector<float>> results();

 private:
  View random(const View& like);
  View result(const View& like);
  View memory(const View& like);
  Tensor numbers(Shape shape);

  Pool& pool_;
  Stream& stream_;
  std::vector<Tensor> memory_;
  std::vector<View> results_;
  Attention forward_;
  AttentionBackward backward_;
};

// The largest relative error of a result, by norm; NaN if one has a NaN.
double largest_error(const std::vector<std::vector<float>>& results,
                     const std::vector<std::vector<float>>& expected);

}  // namespace trireme::kernels
