#include "runtime/model/norm.h"

namespace trireme::runtime {

using kernels::Category;
using kernels::Stream;
using kernels::Tensor;
using kernels::View;

Norm::Norm(const LayerContext& context, const std::string& name)
    : backend_(context.backend),
      weight_(context.buffers.weight(name + ".weight")),
      bias_(context.buffers.find(name + ".bias")),
      epsilon_(context.shape.norm_eps) {}

Norm::Result Norm::forward(Stream& stream, View x, View residual, Saved& saved) const {
  const auto like_x = [&] {
    return backend_.allocate(stream, x.shape(), x.dtype, Category::activations);
  };
  const auto column = [&] {
    return backend_.allocate(stream, {x.rows, 1}, kernels::accumulator_of(x.dtype),
                             Category::activations);
  };
  Result result{.sum = residual ? like_x() : Tensor(), .out = like_x()};
  saved.scale = column();
  if (bias_) {
    saved.mean = column();
    backend_.run(stream, kernels::LayerNorm{.x = x,
                                            .residual = residual,
                                            .sum = result.sum,
                                            .weight = weight_.value,
                                            .bias = bias_.value,
                                            .out = result.out,
                                            .mean = saved.mean,
                                            .inv_std = saved.scale,
                                            .epsilon = epsilon_});
  } else {
    backend_.run(stream, kernels::RmsNorm{.x = x,
                                          .residual = residual,
                                          .sum = result.sum,
                                          .weight = weight_.value,
                                          .out = result.out,
                                          .inv_rms = saved.scale,
                                          .epsilon = epsilon_});
  }
  return result;
}

Tensor Norm::backward(Stream& stream, View normalized, View d_out, View d_residual,
                      const Saved& saved) const {
  Tensor d_x =
      backend_.allocate(stream, normalized.shape(), normalized.dtype, Category::activations);
  if (bias_) {
    backend_.run(stream, kernels::LayerNormBackward{.x = normalized,
                                                    .weight = weight_.value,
                                                    .mean = saved.mean,
                                                    .inv_std = saved.scale,
                                                    .d_out = d_out,
                                                    .d_residual = d_residual,
                                                    .d_x = d_x,
                                                    .d_weight = weight_.gradient,
                                                    .d_bias = bias_.gradient});
  } else {
    backend_.run(stream, kernels::RmsNormBackward{.x = normalized,
                                                  .weight = weight_.value,
                                                  .inv_rms = saved.scale,
                                                  .d_out = d_out,
                                                  .d_residual = d_residual,
                                                  .d_x = d_x,
                                                  .d_weight = weight_.gradient});
  }
  return d_x;
}

}  // namespace trireme::runtime
