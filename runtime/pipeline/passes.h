#pragma once

#include "kernels/check.h"
#include "kernels/tensor.h"

namespace trireme::runtime {

// What an executor runs: passes of the stages of one rank, whatever they compute. All of it is
// work on the compute stream. Whoever only goes forward leaves the others as they are.
class Passes {
 public:
  Passes() = default;
  Passes(const Passes&) = delete;
  Passes& operator=(const Passes&) = delete;
  virtual ~Passes() = default;

  // `x` is what the stage before returned, nothing for the first. Returns what the stage behind is
  // given, nothing from the last.
  virtual kernels::Tensor forward(int stage, int micro_batch, kernels::Tensor x) = 0;
  // After a forward pass that a recompute pass follows: frees what that one has again.
  virtual void drop(int /*stage*/, int /*micro_batch*/) { refuse(); }
  virtual void recompute(int /*stage*/, int /*micro_batch*/) { refuse(); }
  // `d_out` is what the stage behind returned, nothing for the last. Returns the gradient of x,
  // nothing from the first.
  virtual kernels::Tensor backward_input(int /*stage*/, int /*micro_batch*/,
                                         kernels::Tensor /*d_out*/) {
    refuse();
  }
  virtual void backward_weight(int /*stage*/, int /*micro_batch*/) { refuse(); }
  // Both halves.
  virtual kernels::Tensor backward(int /*stage*/, int /*micro_batch*/, kernels::Tensor /*d_out*/) {
    refuse();
  }

 private:
  [[noreturn]] static void refuse() {
    throw kernels::ContractViolation("executor: these passes go forward only");
  }
};

}  // namespace trireme::runtime
