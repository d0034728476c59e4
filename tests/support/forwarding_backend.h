#pragma once

#include <memory>
#include <string>
#include <variant>

#include "kernels/backend.h"

namespace trireme::test {

// Hands everything on to another backend: what tests build theirs on, changing what they are about.
class ForwardingBackend : public kernels::Backend {
 public:
  explicit ForwardingBackend(kernels::Backend& inner) : inner_(inner) {}

  std::string description() const override { return inner_.description(); }
  std::unique_ptr<kernels::Stream> make_stream() override { return inner_.make_stream(); }
  std::unique_ptr<kernels::Stream> make_urgent_stream() override {
    return inner_.make_urgent_stream();
  }
  kernels::Tensor allocate(kernels::Stream& stream, kernels::Shape shape, kernels::Dtype dtype,
                           kernels::Category category) override {
    return inner_.allocate(stream, shape, dtype, category);
  }
  void upload(kernels::Stream& stream, std::span<const std::byte> from, kernels::View to) override {
    inner_.upload(stream, from, to);
  }
  void download(kernels::Stream& stream, kernels::View from, std::span<std::byte> to) override {
    inner_.download(stream, from, to);
  }
  std::shared_ptr<std::byte[]> host_memory(std::size_t bytes) override {
    return inner_.host_memory(bytes);
  }
  std::shared_ptr<kernels::Hold> hold(kernels::Stream& stream) override {
    return inner_.hold(stream);
  }
  void* native_stream(kernels::Stream& stream) override { return inner_.native_stream(stream); }
  bool first_use_waits() const override { return inner_.first_use_waits(); }
  bool try_ways(int most) override { return inner_.try_ways(most); }
  std::int64_t full_speed_rows() const override { return inner_.full_speed_rows(); }
  kernels::MemoryUse memory() const override { return inner_.memory(); }
  std::int64_t memory_capacity() const override { return inner_.memory_capacity(); }
  void reset_memory_peaks() override { inner_.reset_memory_peaks(); }
  double peak_flops_per_second(kernels::Dtype dtype) override {
    return inner_.peak_flops_per_second(dtype);
  }

 protected:
  void enqueue(kernels::Stream& stream, const kernels::Operation& operation) override {
    std::visit([&](const auto& op) { inner_.run(stream, op); }, operation);
  }

 private:
  kernels::Backend& inner_;
};

}  // namespace trireme::test
