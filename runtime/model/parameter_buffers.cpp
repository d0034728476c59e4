#include "runtime/model/parameter_buffers.h"

#include "kernels/check.h"

namespace trireme::runtime {
namespace {

using kernels::Category;
using kernels::expects;
using kernels::Shape;
using kernels::View;

// Shards start on cache lines, whatever the dtype.
constexpr std::int64_t kShardAlignment = 32;

}  // namespace

ParameterBuffers::ParameterBuffers(kernels::Backend& backend, kernels::Stream& stream,
                                   const std::vector<models::Parameter>& table, Options options)
    : options_(options) {
  std::vector<std::int64_t> sizes;
  for (const auto& parameter : table) {
    const bool new_unit = parameter.unit >= units();
    if (new_unit && (sizes.empty() || sizes.back() >= options.bucket_elements)) sizes.push_back(0);
    const auto bucket = static_cast<int>(sizes.size()) - 1;
    while (units() <= parameter.unit) bucket_of_unit_.push_back(bucket);
    by_name_.emplace(parameter.name, slots_.size());
    slots_.push_back({.parameter = parameter, .bucket = bucket, .first = sizes.back()});
    sizes.back() += parameter.size();
  }
  const auto allocate = [&](std::int64_t size, kernels::Dtype dtype, Category category) {
    auto tensor = backend.allocate(stream, {1, size}, dtype, category);
    backend.run(stream, kernels::Fill{.out = tensor, .value = 0});
    return tensor;
  };
  const std::int64_t multiple = options.shards * kShardAlignment;
  for (std::int64_t& size : sizes) {
    size = (size + multiple - 1) / multiple * multiple;
    buckets_.push_back(
        {.values = allocate(size, options.dtype, Category::parameters),
         .gradients = allocate(size, kernels::accumulator_of(options.dtype), Category::gradients)});
  }
}

Weight ParameterBuffers::find(const std::string& name) const {
  const Slot* slot = slot_of(name);
  return slot ? window(*slot, {slot->parameter.rows, slot->parameter.columns}) : Weight();
}

Weight ParameterBuffers::weight(const std::string& name) const {
  const Weight found = find(name);
  expects(static_cast<bool>(found), "a parameter of the model: " + name);
  return found;
}

Weight ParameterBuffers::joined(const std::vector<std::string>& names) const {
  const Slot* first = slot_of(names.front());
  if (!first) return {};
  Shape shape{0, first->parameter.columns};
  if (!first->parameter.is_matrix()) shape = {1, 0};
  std::int64_t next = first->first;
  for (const std::string& name : names) {
    const Slot* slot = slot_of(name);
    expects(slot && slot->bucket == first->bucket && slot->first == next, "neighbors: " + name);
    next += slot->parameter.size();
    if (first->parameter.is_matrix()) {
      expects(slot->parameter.columns == shape.columns, "equal columns: " + name);
      shape.rows += slot->parameter.rows;
    } else {
      shape.columns += slot->parameter.columns;
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
