#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"

namespace trireme::optim {

// Decoupled weight decay needs to know where matrices are in a flat buffer.
struct Segment {
  std::int64_t first = 0;
  std::int64_t count = 0;
  bool decays = false;
};

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;
};

// One rank's share of the optimizer: the moments, and the master weights where the parameters are
// not themselves in the accumulator dtype, of a part of a flat buffer.
class AdamW {
 public:
  // `parameters` is the part of the flat buffer, (1, n), that this rank updates; it is borrowed.
  // `segments` cover its elements that are parameters; the rest is padding.
  AdamW(kernels::Backend& backend, kernels::Stream& stream, kernels::View parameters,
        std::vector<Segment> segments, AdamWOptions options);

  // The weights at full precision, (1, n). Where they are not the parameters themselves, whoever
  // sets one sets the other.
  kernels::View master() const { return master_ ? master_.view() : parameters_; }
  kernels::View first_moment() const { return first_moment_; }
  kernels::View second_moment() const { return second_moment_; }

  // Step `step`, counting from 1, with `gradient` (1, n) times gradient_scale.
  void update(kernels::Stream& stream, kernels::View gradient, double learning_rate,
              double gradient_scale, std::int64_t step);

  // Keeps a copy of the state, for an update that may have to be taken back: as much memory again.
  void keep(kernels::Stream& stream);
  // Everything is what it was when it was kept, to the bit.
  void restore(kernels::Stream& stream);

 private:
  // All that an update changes.
  std::vector<kernels::View> state() const;

  kernels::Backend& backend_;
  kernels::View parameters_;
  std::vector<Segment> segments_;
  AdamWOptions options_;
  kernels::Tensor master_, first_moment_, second_moment_;
  std::vector<kernels::Tensor> kept_;  // as state()
};

}  // namespace trireme::optim
