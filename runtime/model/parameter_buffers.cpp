#include "runtime/model/parameter_buffers.h"

#include <algorithm>
#include <span>
#include <thread>

#include "kernels/check.h"

namespace trireme::runtime {
namespace {

using kernels::Category;
using kernels::expects;
using kernels::Shape;
using kernels::View;

// Owned parts start on cache lines, whatever the dtype.
constexpr std::int64_t kPartAlignment = 32;

// Some milliseconds of logarithms and cosines.
constexpr std::size_t kInitialValuesPerThread = 200'000;

}  // namespace

ParameterBuffers::ParameterBuffers(kernels::Backend& backend, kernels::Stream& stream,
                                   const std::vector<std::vector<models::Shard>>& stages,
                                   Options options)
    : options_(options) {
  std::vector<std::int64_t> sizes = place(stages);
  const auto allocate = [&](std::int64_t size, kernels::Dtype dtype, Category category) {
    auto tensor = backend.allocate(stream, {1, size}, dtype, category);
    backend.run(stream, kernels::Fill{.out = tensor, .value = 0});
    return tensor;
  };
  const std::int64_t multiple = options.owners * kPartAlignment;
  for (std::int64_t& size : sizes) {
    size = (size + multiple - 1) / multiple * multiple;
    buckets_.push_back(
        {.values = allocate(size, options.dtype, Category::parameters),
         .gradients = allocate(size, kernels::accumulator_of(options.dtype), Category::gradients)});
  }
  for (const auto& [unit, buckets] : buckets_of_unit_) {
    for (const int bucket : buckets) ++buckets_[static_cast<std::size_t>(bucket)].units;
  }
}

// Gives every parameter its slot, and returns the size of each bucket.
std::vector<std::int64_t> ParameterBuffers::place(
    const std::vector<std::vector<models::Shard>>& stages) {
  std::vector<std::int64_t> sizes;
  // Of the open bucket, on the tensor-parallel rank that holds most: all have the same buckets.
  std::int64_t filled = 0;
  for (const auto& shards : stages) {
    bool closed = true;
    int unit = -1;
    for (const models::Shard& shard : shards) {
      const bool new_unit = shard.units.front() != unit;
      unit = shard.units.front();
      closed = closed || shard.shared_by_stages;
      if (closed || (new_unit && filled >= options_.bucket_elements)) {
        sizes.push_back(0);
        filled = 0;
      }
      filled += shard.largest_size;
      closed = shard.shared_by_stages;
      const auto bucket = static_cast<int>(sizes.size()) - 1;
      by_name_.emplace(shard.parameter.name, slots_.size());
      slots_.push_back({.shard = shard, .bucket = bucket, .first = sizes.back()});
      sizes.back() += shard.slice.size();
      for (const int reader : shard.units) {
        auto& buckets = buckets_of_unit_[reader];
        if (std::ranges::find(buckets, bucket) == buckets.end()) buckets.push_back(bucket);
      }
    }
  }
  return sizes;
}

const std::vector<int>& ParameterBuffers::buckets_of_unit(int unit) const {
  const auto found = buckets_of_unit_.find(unit);
  expects(found != buckets_of_unit_.end(), "a unit of this rank");
  return found->second;
}

std::vector<float> ParameterBuffers::initial_values(int bucket, std::uint64_t seed) const {
  std::vector<float> values(static_cast<std::size_t>(this->values(bucket).columns), 0.0f);
  const auto threads = static_cast<std::int64_t>(
      std::clamp<std::size_t>(values.size() / kInitialValuesPerThread, 1,
                              std::max(1u, std::thread::hardware_concurrency())));
  // Every thread makes some rows of every parameter.
  const auto make_part = [&](std::int64_t part) {
    for (const Slot& slot : slots_) {
      if (slot.bucket != bucket) continue;
      const models::Slice& whole = slot.shard.slice;
      models::Slice rows = whole;
      rows.first_row += whole.rows * part / threads;
      rows.rows = whole.rows * (part + 1) / threads - whole.rows * part / threads;
      const std::int64_t first = slot.first + (rows.first_row - whole.first_row) * whole.columns;
      models::initial_values(
          slot.parameter(), rows, seed,
          std::span(values).subspan(static_cast<std::size_t>(first),
                                    static_cast<std::size_t>(rows.rows * rows.columns)));
    }
  };
  std::vector<std::jthread> others;
  for (std::int64_t part = 1; part < threads; ++part) others.emplace_back(make_part, part);
  make_part(0);
  others.clear();
  return values;
}

Weight ParameterBuffers::find(const std::string& name) const {
  const Slot* slot = slot_of(name);
  return slot ? window(*slot, slot->shape()) : Weight();
}

Weight ParameterBuffers::weight(const std::string& name) const {
  const Weight found = find(name);
  expects(static_cast<bool>(found), "a parameter of the model: " + name);
  return found;
}

Weight ParameterBuffers::joined(const std::vector<std::string>& names) const {
  const Slot* first = slot_of(names.front());
  if (!first) return {};
  const bool matrix = first->parameter().is_matrix();
  Shape shape = matrix ? Shape{0, first->shape().columns} : Shape{1, 0};
  std::int64_t next = first->first;
  for (const std::string& name : names) {
    const Slot* slot = slot_of(name);
    expects(slot && slot->bucket == first->bucket && slot->first == next, "neighbors: " + name);
    next += slot->size();
    if (matrix) {
      expects(slot->shape().columns == shape.columns, "equal columns: " + name);
      shape.rows += slot->shape().rows;
    } else {
      shape.columns += slot->shape().columns;
    }
  }
  return window(*first, shape);
}

Weight ParameterBuffers::window(const Slot& slot, Shape shape) const {
  const auto part = [&](View bucket) {
    return bucket.column_range(slot.first, shape.size()).reshaped(shape);
  };
  return {.value = part(values(slot.bucket)), .gradient = part(gradients(slot.bucket))};
}

const ParameterBuffers::Slot* ParameterBuffers::slot_of(const std::string& name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &slots_[found->second];
}

}  // namespace trireme::runtime
