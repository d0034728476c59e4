#pragma once

#include <cmath>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"

namespace trireme::test {

using kernels::Category;
using kernels::Dtype;
using kernels::Shape;
using kernels::Tensor;
using kernels::View;

// The backend under test: each test program links its own.
std::unique_ptr<kernels::Backend> make_backend(int threads);

// The dtypes it computes in.
std::vector<Dtype> backend_dtypes();

// A backend and a stream on it, with ways to put numbers there and look at them.
class Device {
 public:
  explicit Device(int threads = 1)
      : backend(make_backend(threads)), stream(backend->make_stream()) {}

  Tensor empty(Shape shape, Dtype dtype) {
    return backend->allocate(*stream, shape, dtype, Category::activations);
  }

  // Rounds to the dtype.
  Tensor tensor(Shape shape, Dtype dtype, const std::vector<double>& values) {
    Tensor result = empty(shape, dtype);
    assign(result, values);
    return result;
  }

  Tensor filled(Shape shape, Dtype dtype, double value) {
    return tensor(shape, dtype, std::vector<double>(static_cast<std::size_t>(shape.size()), value));
  }

  // Uniform in [-1, 1); the same for the same seed.
  Tensor random(Shape shape, Dtype dtype, unsigned seed) {
    return tensor(shape, dtype, random_values(shape.size(), seed));
  }

  Tensor ids(const std::vector<std::int32_t>& values) {
    Tensor result = empty({static_cast<std::int64_t>(values.size()), 1}, Dtype::i32);
    backend->upload(*stream, std::as_bytes(std::span(values)), result);
    stream->synchronize();
    return result;
  }

  void assign(View view, const std::vector<double>& values) {
    Tensor exact = empty(view.shape(), Dtype::f64);
    backend->upload(*stream, std::as_bytes(std::span(values)), exact);
    backend->run(*stream, kernels::Convert{.x = exact, .out = view});
    stream->synchronize();
  }

  std::vector<double> values(View view) {
    Tensor exact = empty(view.shape(), Dtype::f64);
    std::vector<double> result(static_cast<std::size_t>(view.size()));
    backend->run(*stream, kernels::Convert{.x = view, .out = exact});
    backend->download(*stream, exact, std::as_writable_bytes(std::span(result)));
    stream->synchronize();
    return result;
  }

  template <class Operation>
  void run(const Operation& operation) {
    backend->run(*stream, operation);
  }

  static std::vector<double> random_values(std::int64_t count, unsigned seed) {
    std::vector<double> result;
    std::uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
    for (std::int64_t i = 0; i < count; ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      result.push_back(static_cast<double>(state >> 11) * 0x1p-52 - 1);
    }
    return result;
  }

  std::unique_ptr<kernels::Backend> backend;
  std::unique_ptr<kernels::Stream> stream;
};

// |a - b| / |b|, by Euclidean norms.
inline double relative_error(const std::vector<double>& a, const std::vector<double>& b) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  if (a.size() != b.size()) return INFINITY;
  return size > 0 ? std::sqrt(difference / size) : std::sqrt(difference);
}

}  // namespace trireme::test
