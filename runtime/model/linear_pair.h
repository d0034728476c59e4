#pragma once

#include <functional>

#include "runtime/model/linear.h"
#include "runtime/model/tensor_parallel.h"

namespace trireme::runtime {

// Two products with something in between that ranks can do alone: each has a share of the first
// one's outputs and of the second one's inputs. Tokens are this rank's outside and all inside.
class LinearPair {
 public:
  // What one micro-batch leaves behind for the weight gradients.
  struct Saved {
    kernels::Tensor x;        // given to the first product, this rank's tokens
    kernels::Tensor inner;    // given to the second product
    kernels::Tensor d_first;  // gradient of what the first product made
    kernels::Tensor d_out;    // gradient of what the second product made, this rank's tokens
  };

  // Given the gradient of `inner`, returns d_first.
  using Between = std::function<kernels::Tensor(kernels::View d_inner)>;

  // Tokens on their way for the weight gradients.
  struct Inputs {
    Arriving d_out, x;
  };

  LinearPair(TensorParallel& ranks, Linear first, Linear second);

  std::int64_t inner_columns() const { return second_.inputs(); }

  kernels::Tensor first(kernels::Stream& stream, kernels::View x) const;
  kernels::Tensor second(kernels::Stream& stream, kernels::View inner) const;

  // Returns d_x and saves both gradients.
  kernels::Tensor backward_input(kernels::Stream& stream, kernels::Tensor d_out, Saved& saved,
                                 const Between& between) const;

  // Begun early, the tokens arrive while other products run. `saved` must stay.
  Inputs begin_weight(kernels::Stream& stream, const Saved& saved) const;
  void backward_weight(kernels::Stream& stream, Saved saved, Inputs inputs) const;

  // Both halves: d_x is summed over the ranks while the weight gradients are made. Frees all of
  // `saved` but d_out.
  kernels::Tensor backward(kernels::Stream& stream, kernels::Tensor d_out, Saved& saved,
                           const Between& between) const;

 private:
  // Saves d_first.
  Gathered gradient_of_first(kernels::Stream& stream, Arriving d_out, Saved& saved,
                             const Between& between) const;

  TensorParallel& ranks_;
  Linear first_, second_;
};

}  // namespace trireme::runtime
