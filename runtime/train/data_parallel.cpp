#include "runtime/train/data_parallel.h"

#include <algorithm>
#include <span>
#include <utility>

#include "kernels/check.h"
#include "models/random.h"

namespace trireme::runtime {

using kernels::Category;
using kernels::Dtype;
using kernels::Stream;
using kernels::Tensor;
using kernels::View;

DataParallel::DataParallel(kernels::Backend& backend, Stream& compute, ParameterBuffers& buffers,
                           Communicator& group, DataParallelOptions options)
    : backend_(backend),
      compute_(compute),
      buffers_(buffers),
      group_(group),
      options_(options),
      communication_(backend.make_stream()),
      buckets_(static_cast<std::size_t>(buffers.buckets())),
      totals_(backend.allocate(compute, {1, 3}, Dtype::f64, Category::workspace)) {
  kernels::expects(buffers.options().shards == group.size(), "buffers padded for the group");
  for (int b = 0; b < buffers.buckets(); ++b) {
    Bucket& bucket = buckets_[static_cast<std::size_t>(b)];
    bucket.values = buffers.values(b);
    bucket.gradients = buffers.gradients(b);
    const std::int64_t count =
        sharded() ? bucket.values.columns / group.size() : bucket.values.columns;
    const std::int64_t first = sharded() ? count * group.rank() : 0;
    bucket.owned_values = bucket.values.column_range(first, count);
    bucket.owned_gradients = bucket.gradients.column_range(first, count);
    bucket.optimizer = std::make_unique<optim::AdamW>(backend, compute, bucket.owned_values,
                                                      segments(b, first, count), options.adamw);
  }
  for (int unit = 0; unit < buffers.units(); ++unit) {
    ++buckets_[static_cast<std::size_t>(buffers.bucket_of_unit(unit))].units;
  }
}

void DataParallel::initialize(std::uint64_t seed) {
  for (std::size_t b = 0; b < buckets_.size(); ++b) {
    const Bucket& bucket = buckets_[b];
    std::vector<float> values(static_cast<std::size_t>(bucket.values.columns), 0.0f);
    for (const auto& slot : buffers_.slots()) {
      if (slot.bucket != static_cast<int>(b)) continue;
      const auto size = static_cast<std::size_t>(slot.parameter.size());
      models::initial_values(slot.parameter, seed, 0,
                             std::span(values).subspan(static_cast<std::size_t>(slot.first), size));
    }
    const Tensor exact =
        backend_.allocate(compute_, bucket.values.shape(), Dtype::f32, Category::workspace);
    backend_.upload(compute_, std::as_bytes(std::span(values)), exact);
    backend_.run(compute_, kernels::Convert{.x = exact, .out = bucket.values});
    const std::int64_t first = sharded() ? bucket.owned_values.columns * group_.rank() : 0;
    backend_.run(compute_, kernels::Convert{
                               .x = exact.view().column_range(first, bucket.owned_values.columns),
                               .out = bucket.optimizer->master()});
    compute_.synchronize();
  }
}

void DataParallel::before_unit(int unit) {
  Bucket& bucket = buckets_[static_cast<std::size_t>(buffers_.bucket_of_unit(unit))];
  if (bucket.gathered) compute_.wait_for(std::exchange(bucket.gathered, nullptr));
}

void DataParallel::begin_step() {
  for (Bucket& bucket : buckets_) {
    bucket.complete = 0;
    backend_.run(compute_, kernels::Fill{.out = bucket.gradients, .value = 0});
  }
}

void DataParallel::gradients_complete(int unit) {
  Bucket& bucket = buckets_[static_cast<std::size_t>(buffers_.bucket_of_unit(unit))];
  if (++bucket.complete == bucket.units) reduce(bucket);
}

void DataParallel::reduce(Bucket& bucket) {
  if (group_.size() == 1) return;
  communication_->wait_for(compute_);
  if (sharded()) {
    group_.reduce_scatter(*communication_, bucket.gradients, bucket.owned_gradients);
  } else {
    group_.all_reduce(*communication_, bucket.gradients, Reduction::sum);
  }
}

Totals DataParallel::reduce_totals(View loss, bool stop) {
  compute_.wait_for(*communication_);
  const View totals = totals_;
  backend_.run(compute_, kernels::Convert{.x = loss, .out = totals.column_range(0, 1)});
  backend_.run(compute_, kernels::Fill{.out = totals.column_range(1, 1), .value = 0});
  backend_.run(compute_,
               kernels::Fill{.out = totals.column_range(2, 1), .value = stop ? 1.0 : 0.0});
  for (const Bucket& bucket : buckets_) {
    // Each element is counted by one rank: the owner, or with whole copies the one whose turn it
    // is.
    const std::int64_t part = bucket.gradients.columns / group_.size();
    const View counted = bucket.gradients.column_range(part * group_.rank(), part);
    backend_.run(compute_, kernels::SquaredNorm{.x = counted, .out = totals.column_range(1, 1)});
  }
  const auto [total_loss, squared_norm, stops] = sum_over_ranks();
  return {.loss = total_loss, .squared_norm = squared_norm, .stop = stops > 0};
}

double DataParallel::reduce_loss(View loss) {
  const View totals = totals_;
  backend_.run(compute_, kernels::Fill{.out = totals, .value = 0});
  backend_.run(compute_, kernels::Convert{.x = loss, .out = totals.column_range(0, 1)});
  return sum_over_ranks()[0];
}

std::array<double, 3> DataParallel::sum_over_ranks() {
  communication_->wait_for(compute_);
  if (group_.size() > 1) group_.all_reduce(*communication_, totals_, Reduction::sum);
  std::array<double, 3> sums = {};
  backend_.download(*communication_, totals_, std::as_writable_bytes(std::span(sums)));
  // The computation first: if both failed, the communication failed because of it.
  compute_.synchronize();
  communication_->synchronize();
  return sums;
}

void DataParallel::update(double learning_rate, double gradient_scale, std::int64_t step) {
  for (Bucket& bucket : buckets_) {
    bucket.optimizer->update(compute_, bucket.owned_gradients, learning_rate, gradient_scale, step);
    if (!sharded()) continue;
    communication_->wait_for(compute_);
    group_.all_gather(*communication_, bucket.owned_values, bucket.values);
    bucket.gathered = communication_->record();
  }
}

void DataParallel::synchronize() {
  compute_.synchronize();
  communication_->synchronize();
}

std::vector<optim::Segment> DataParallel::segments(int bucket, std::int64_t first,
                                                   std::int64_t count) const {
  std::vector<optim::Segment> found;
  for (const auto& slot : buffers_.slots()) {
    if (slot.bucket != bucket) continue;
    const std::int64_t begin = std::max(slot.first, first);
    const std::int64_t end = std::min(slot.first + slot.parameter.size(), first + count);
    if (begin >= end) continue;
    const bool decays = slot.parameter.decays();
    if (!found.empty() && found.back().decays == decays) {
      found.back().count += end - begin;
    } else {
      found.push_back({.first = begin - first, .count = end - begin, .decays = decays});
    }
  }
  return found;
}

}  // namespace trireme::runtime
