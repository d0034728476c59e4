#include "kernels/cuda/attention_trial.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/cuda_stream.h"
#include "kernels/cuda/operations.h"

namespace trireme::kernels {
namespace {

// In [-1, 1). Numerical Recipes' generator: fast, and good enough to tell kernels apart.
std::vector<float> random_numbers(std::size_t count, std::uint32_t seed) {
  std::vector<float> numbers(count);
  for (float& number : numbers) {
    seed = seed * 1664525u + 1013904223u;
    number = static_cast<float>(seed >> 8) / static_cast<float>(1u << 23) - 1.0f;
  }
  return numbers;
}

}  // namespace

AttentionTrial::AttentionTrial(Pool& pool, Stream& stream, const Attention& like)
    : pool_(pool), stream_(stream), forward_(like) {
  forward_.q = random(like.q);
  forward_.k = random(like.k);
  forward_.v = random(like.v);
  forward_.out = result(like.out);
  forward_.log_sum_exp = result(like.log_sum_exp);
}

AttentionTrial::AttentionTrial(Pool& pool, Stream& stream, const AttentionBackward& like)
    : AttentionTrial(pool, stream,
                     Attention{.q = like.q,
                               .k = like.k,
                               .v = like.v,
                               .out = like.out,
                               .log_sum_exp = like.log_sum_exp,
                               .shape = like.shape,
                               .scale = like.scale}) {
  launch(native(stream), forward_);
  results_.clear();
  backward_ = {.q = forward_.q,
               .k = forward_.k,
               .v = forward_.v,
               .out = forward_.out,
               .log_sum_exp = forward_.log_sum_exp,
               .d_out = random(like.d_out),
               .d_q = result(like.d_q),
               .d_k = result(like.d_k),
               .d_v = result(like.d_v),
               .shape = like.shape,
               .scale = like.scale};
}

View AttentionTrial::memory(const View& like) {
  View whole(nullptr, {like.rows, like.stride}, like.dtype);
  whole.data = pool_.allocate(whole.bytes(), stream_, Category::workspace);
  memory_.emplace_back(whole, pool_, stream_, Category::workspace);
  return whole.column_range(0, like.columns);
}

Tensor AttentionTrial::numbers(Shape shape) {
  View view(nullptr, shape, Dtype::f32);
  view.data = pool_.allocate(view.bytes(), stream_, Category::workspace);
  return Tensor(view, pool_, stream_, Category::workspace);
}

View AttentionTrial::random(const View& like) {
  const View view = memory(like);
  const auto seed = static_cast<std::uint32_t>(memory_.size());
  const auto values = random_numbers(static_cast<std::size_t>(view.size()), seed);
  const Tensor exact = numbers(view.shape());
  check(cudaMemcpyAsync(exact.view().data, values.data(), exact.view().bytes(),
                        cudaMemcpyHostToDevice, native(stream_)));
  launch(native(stream_), Convert{.x = exact, .out = view});
  check(cudaStreamSynchronize(native(stream_)));  // `values` goes
  return view;
}

View AttentionTrial::result(const View& like) {
  results_.push_back(memory(like));
  return results_.back();
}

void AttentionTrial::forget_results() {
  for (const View& view : results_) {
    launch(native(stream_), Fill{.out = view, .value = std::numeric_limits<double>::quiet_NaN()});
  }
}

std::vector<std::vector<float>> AttentionTrial::results() {
  std::vector<std::vector<float>> all;
  for (const View& view : results_) {
    const Tensor exact = numbers(view.shape());
    launch(native(stream_), Convert{.x = view, .out = exact});
    std::vector<float>& values = all.emplace_back(static_cast<std::size_t>(view.size()));
    check(cudaMemcpyAsync(values.data(), exact.view().data, exact.view().bytes(),
                          cudaMemcpyDeviceToHost, native(stream_)));
    check(cudaStreamSynchronize(native(stream_)));
  }
  return all;
}

double largest_error(const std::vector<std::vector<float>>& results,
                     const std::vector<std::vector<float>>& expected) {
  double largest = 0;
  for (std::size_t i = 0; i < results.size(); ++i) {
    double difference = 0, norm = 0;
    for (std::size_t j = 0; j < results[i].size(); ++j) {
      const double apart = double{results[i][j]} - double{expected[i][j]};
      difference += apart * apart;
      norm += double{expected[i][j]} * double{expected[i][j]};
    }
    const double error = std::sqrt(difference / norm);
    if (std::isnan(error)) return error;
    largest = std::max(largest, error);
  }
  return largest;
}

}  // namespace trireme::kernels
