#pragma once

#include <optional>
#include <string>

#include "runtime/train/trainer.h"

namespace trireme::runtime {

// A number of the layout beside that of one rank.
struct Compared {
  double reference = 0;
  double layout = 0;
  double relative_error = 0;
};

// How far a tensor is off: the Euclidean norm of the difference over that of the reference, and the
// largest difference in units in the last place of the reference's largest element.
struct TensorError {
  std::string name;
  double relative_error = 0;
  double ulp = 0;
};

struct Verification {
  bool equivalent = false;
  Compared loss, gradient_norm;
  TensorError worst_gradient, worst_weight;
  // In the order of the forward pass: the first gradient, or else weight, that is wrong.
  std::optional<TensorError> first_wrong;
};

// How far apart may be what differs in the order of additions only.
struct Tolerance {
  double loss = 1e-6;
  double gradient = 1e-4;
  double weight = 1e-3;

  static Tolerance of(kernels::Dtype compute);
};

// Runs one training step twice, on the layout of `options` and, on rank 0, on one rank, and
// compares the loss, every gradient by its global name, their norm and the weights after the step,
// on every rank that holds them. Where a whole tensor's gradient is nothing but rounding (a key's
// bias) it is held to the rounding of the others; where an element's is, its update is not looked
// at, since AdamW makes a full one of the least gradient. Collective over `world`; rank 0 needs
// memory for the whole model, and the result is the same on all ranks.
Verification verify(kernels::Backend& backend, Communicator& world, const data::Sampler& sampler,
                    const TrainerOptions& options);

}  // namespace trireme::runtime
