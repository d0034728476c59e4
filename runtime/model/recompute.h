#pragma once

namespace trireme::runtime {

// What a layer does not keep from its forward pass, and computes again before its backward pass
// (Chen et al. 2016, https://arxiv.org/abs/1604.06174).
enum class Recompute {
  none,
  // Norms, the activation function and attention: cheap to have again from what the matrix products
  // gave, which is kept (Korthikanti et al. 2022, https://arxiv.org/abs/2205.05198).
  selective,
  full,  // everything but the layer's input
};

}  // namespace trireme::runtime
