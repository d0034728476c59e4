#include "kernels/cuda/attention_trial.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/cuda_stream.h"
#include "kernels/cuda/operations.h"

namespace trireme::kernels {
namespace {

constexpr std::int64_t kPositions = 64;

// In [-1, 1). Numerical Recipes' generator: fast, and good enough to tell kernels apart.
std::vector<float> random_numbers(std::size_t count, std::uint32_t seed) {
  std::vector<float> numbers(count);
  for (float& number : numbers) {
    seed = seed * 1664525u + 1013904223u;
    number = static_cast<float>(seed >> 8) / static_cast<float>(1u << 23) - 1.0f;
  }
  return numbers;
}

// Bytes from the first of three views of one matrix; negative where they are none.
std::int64_t offset(const std::array<View, 3>& views, std::size_t i) {
  return static_cast<const std::byte*>(views[i].data) -
         static_cast<const std::byte*>(views[0].data);
}

bool are_of_one_matrix(const std::array<View, 3>& views) {
  const auto width = views[0].stride * static_cast<std::int64_t>(size_of(views[0].dtype));
  for (std::size_t i = 1; i < 3; ++i) {
    if (views[i].stride != views[0].stride) return false;
    const std::int64_t end =
        offset(views, i) + static_cast<std::int64_t>(size_of(views[i].dtype)) * views[i].columns;
    if (offset(views, i) < 0 || end > width) return false;
  }
  return true;
}

}  // namespace

AttentionTrial::AttentionTrial(Pool& pool, Stream& stream, const Attention& like)
    : pool_(pool), stream_(stream), forward_(like) {
  const auto [q, k, v] = beside_each_other({like.q, like.k, like.v});
  forward_.q = q;
  forward_.k = k;
  forward_.v = v;
  for (const View& view : {q, k, v}) randomize(view);
  forward_.out =
      memory({like.out.rows, like.out.stride}, like.out.dtype).column_range(0, like.out.columns);
  forward_.log_sum_exp = memory(like.log_sum_exp.shape(), like.log_sum_exp.dtype);
  results_ = {
      {.view = forward_.out, .blocks = {{kPositions, like.shape.head_dim}, like.shape.sequence}},
      {.view = forward_.log_sum_exp, .blocks = {{1, kPositions}, 1}, .is_logarithm = true}};
}

AttentionTrial::AttentionTrial(Pool& pool, Stream& stream, const AttentionBackward& like)
    : AttentionTrial(pool, stream, forward_of(like)) {
  launch(native(stream), forward_);
  const auto [d_q, d_k, d_v] = beside_each_other({like.d_q, like.d_k, like.d_v});
  const View d_out = memory({like.d_out.rows, like.d_out.stride}, like.d_out.dtype)
                         .column_range(0, like.d_out.columns);
  randomize(d_out);
  backward_ = {.q = forward_.q,
               .k = forward_.k,
               .v = forward_.v,
               .out = forward_.out,
               .log_sum_exp = forward_.log_sum_exp,
               .d_out = d_out,
               .d_q = d_q,
               .d_k = d_k,
               .d_v = d_v,
               .shape = like.shape,
               .scale = like.scale};
  const ErrorBlocks blocks{{kPositions, like.shape.head_dim}, like.shape.sequence};
  results_ = {{.view = d_q, .blocks = blocks},
              {.view = d_k, .blocks = blocks},
              {.view = d_v, .blocks = blocks}};
}

View AttentionTrial::memory(Shape shape, Dtype dtype) {
  View whole(nullptr, shape, dtype);
  whole.data = pool_.allocate(whole.bytes(), stream_, Category::workspace);
  memory_.emplace_back(whole, pool_, stream_, Category::workspace);
  return whole;
}

std::array<View, 3> AttentionTrial::beside_each_other(const std::array<View, 3>& like) {
  const bool together = are_of_one_matrix(like);
  std::array<View, 3> made;
  for (std::size_t i = 0; i < 3; ++i) {
    const bool shares = together && i > 0;
    made[i] = like[i];
    made[i].data = shares ? static_cast<std::byte*>(made[0].data) + offset(like, i)
                          : memory({like[i].rows, like[i].stride}, like[i].dtype).data;
  }
  return made;
}

void AttentionTrial::randomize(const View& view) {
  const auto values = random_numbers(static_cast<std::size_t>(view.size()), ++drawn_);
  const View exact = memory(view.shape(), Dtype::f32);
  check(cudaMemcpyAsync(exact.data, values.data(), exact.bytes(), cudaMemcpyHostToDevice,
                        native(stream_)));
  launch(native(stream_), Convert{.x = exact, .out = view});
  check(cudaStreamSynchronize(native(stream_)));  // `values` goes
  memory_.pop_back();
}

void AttentionTrial::forget_results() {
  for (const Result& result : results_) {
    launch(native(stream_),
           Fill{.out = result.view, .value = std::numeric_limits<double>::quiet_NaN()});
  }
}

std::vector<std::vector<float>> AttentionTrial::results() {
  std::vector<std::vector<float>> all;
  for (const Result& result : results_) {
    const View exact = memory(result.view.shape(), Dtype::f32);
    launch(native(stream_), Convert{.x = result.view, .out = exact});
    std::vector<float>& values = all.emplace_back(static_cast<std::size_t>(exact.size()));
    check(cudaMemcpyAsync(values.data(), exact.data, exact.bytes(), cudaMemcpyDeviceToHost,
                          native(stream_)));
    check(cudaStreamSynchronize(native(stream_)));
    memory_.pop_back();
    // By so much a weight is wrong in the gradient.
    if (result.is_logarithm) {
      for (float& value : values) value = std::exp(value);
    }
  }
  return all;
}

double AttentionTrial::error() {
  const auto found = results();
  double largest = 0;
  for (std::size_t i = 0; i < results_.size(); ++i) {
    const double error =
        largest_error(found[i], expected_.at(i), results_[i].view.columns, results_[i].blocks);
    if (std::isnan(error)) return error;
    largest = std::max(largest, error);
  }
  return largest;
}

double largest_error(const std::vector<float>& values, const std::vector<float>& expected,
                     std::int64_t columns, const ErrorBlocks& blocks) {
  struct Sums {
    double difference = 0, norm = 0;
  };
  const auto rows = static_cast<std::int64_t>(values.size()) / columns;
  const Shape block = blocks.block;
  std::vector<Sums> band(static_cast<std::size_t>((columns + block.columns - 1) / block.columns));
  double largest = 0;
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) {
      const auto at = static_cast<std::size_t>(r * columns + c);
      Sums& sums = band[static_cast<std::size_t>(c / block.columns)];
      const double apart = double{values[at]} - double{expected[at]};
      sums.difference += apart * apart;
      sums.norm += double{expected[at]} * double{expected[at]};
    }
    const std::int64_t next = r % blocks.sequence + 1;
    if (next % block.rows != 0 && next != blocks.sequence) continue;
    for (const Sums& sums : std::exchange(band, std::vector<Sums>(band.size()))) {
      const double error = std::sqrt(sums.difference / sums.norm);
      if (std::isnan(error)) return error;
      largest = std::max(largest, error);
    }
  }
  return largest;
}

}  // namespace trireme::kernels
