#include "runtime/model/rope_table.h"

#include <cmath>
#include <vector>

namespace trireme::runtime {
namespace {

template <class Number>
kernels::Tensor table(kernels::Backend& backend, kernels::Stream& stream, kernels::Dtype dtype,
                      const std::vector<double>& angles, kernels::Shape shape,
                      double (*of)(double)) {
  std::vector<Number> values;
  for (const double angle : angles) values.push_back(static_cast<Number>(of(angle)));
  auto tensor = backend.allocate(stream, shape, dtype, kernels::Category::workspace);
  backend.upload(stream, std::as_bytes(std::span(values)), tensor);
  stream.synchronize();
  return tensor;
}

}  // namespace

RopeTable::RopeTable(kernels::Backend& backend, kernels::Stream& stream, const models::Shape& shape,
                     std::int64_t positions, kernels::Dtype dtype) {
  const std::vector<double> frequencies = models::rope_frequencies(shape);
  std::vector<double> angles;
  for (std::int64_t position = 0; position < positions; ++position) {
    for (const double frequency : frequencies) {
      angles.push_back(static_cast<double>(position) * frequency);
    }
  }
  const kernels::Shape table_shape{positions, static_cast<std::int64_t>(frequencies.size())};
  const auto make = [&](double (*of)(double)) {
    const auto kept = kernels::accumulator_of(dtype);
    return kept == kernels::Dtype::f64
               ? table<double>(backend, stream, kept, angles, table_shape, of)
               : table<float>(backend, stream, kept, angles, table_shape, of);
  };
  cos_ = make([](double angle) { return std::cos(angle); });
  sin_ = make([](double angle) { return std::sin(angle); });
}

}  // namespace trireme::runtime
