#pragma once

#include "kernels/backend.h"
#include "kernels/caching_pool.h"

namespace trireme::kernels {

// A device that takes time and computes nothing: many ranks on few cores run the real executor,
// channels and schedules at the pace of a machine that is not there. Memory and copies are real,
// so that messages are.
class SyntheticBackend final : public Backend {
 public:
  struct Options {
    double flops_per_second = 1e12;
    double bytes_per_second = 1e11;
  };

  // When work ran, in seconds of the steady clock.
  struct Interval {
    double start = 0, end = 0;
  };

  explicit SyntheticBackend(Options options);

  // Occupies the stream for this time, and no core; by what the kernel wakes it too late, the next
  // pause of the stream is shorter. `ran`, if given, is written when it is over.
  void pause(Stream& stream, double seconds, Interval* ran = nullptr);

  std::string description() const override;
  std::unique_ptr<Stream> make_stream() override;
  Tensor allocate(Stream& stream, Shape shape, Dtype dtype, Category category) override;
  void upload(Stream& stream, std::span<const std::byte> from, View to) override;
  void download(Stream& stream, View from, std::span<std::byte> to) override;
  std::shared_ptr<std::byte[]> host_memory(std::size_t bytes) override;
  std::shared_ptr<Hold> hold(Stream& stream) override;
  void* native_stream(Stream&) override { return nullptr; }
  MemoryUse memory() const override { return pool_.use(); }
  std::int64_t full_speed_rows() const override { return 1; }
  std::int64_t memory_capacity() const override;
  void reset_memory_peaks() override { pool_.reset_peaks(); }
  double peak_flops_per_second(Dtype) override { return options_.flops_per_second; }

 private:
  // Takes the time of the operation's cost, whichever of its work and its traffic is longer.
  void enqueue(Stream& stream, const Operation& operation) override;

  Options options_;
  CachingPool pool_;
};

}  // namespace trireme::kernels
