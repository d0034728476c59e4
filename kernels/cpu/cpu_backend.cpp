#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <thread>
#include <vector>

#include "kernels/backend.h"
#include "kernels/caching_pool.h"
#include "kernels/cpu/amx/amx_matmul.h"
#include "kernels/cpu/host_memory.h"
#include "kernels/cpu/host_stream.h"
#include "kernels/cpu/instruction_set.h"
#include "kernels/cpu/matmul.h"

namespace trireme::kernels {
namespace {

// The reference: every operation runs here, on any machine.
class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(CpuOptions options)
      : options_(options), instructions_(best_instruction_set()), matmul_(instructions_.run) {
    expects(options.threads >= 1, "at least one thread");
    if (options.threads > cpu_thread_limit()) {
      throw DeviceError(std::to_string(options.threads) +
                        " threads are asked for, but OMP_THREAD_LIMIT is " +
                        std::to_string(cpu_thread_limit()));
    }
  }

  std::string description() const override {
    return "cpu (" + std::string(instructions_.name) + (has_amx() ? " with AMX, " : ", ") +
           std::to_string(options_.threads) + (options_.threads == 1 ? " thread)" : " threads)");
  }

  std::unique_ptr<Stream> make_stream() override {
    return std::make_unique<HostStream>(options_.threads,
                                        [this](const Stream& stream) { pool_.forget(stream); });
  }

  Tensor allocate(Stream& stream, Shape shape, Dtype dtype, Category category) override {
    View view(nullptr, shape, dtype);
    view.data = pool_.allocate(view.bytes(), stream, category);
    return Tensor(view, pool_, stream, category);
  }

  void upload(Stream& stream, std::span<const std::byte> from, View to) override {
    expects(to.contiguous() && from.size() == to.bytes(), "upload: as many bytes as the view");
    host(stream).enqueue([from, to] { copy_host_memory(from, static_cast<std::byte*>(to.data)); });
  }

  void download(Stream& stream, View from, std::span<std::byte> to) override {
    expects(from.contiguous() && to.size() == from.bytes(), "download: as many bytes as the view");
    host(stream).enqueue([from, to] {
      copy_host_memory({static_cast<const std::byte*>(from.data), to.size()}, to.data());
    });
  }

  std::shared_ptr<std::byte[]> host_memory(std::size_t bytes) override {
    return make_host_memory(bytes);
  }
  std::shared_ptr<Hold> hold(Stream& stream) override { return host(stream).hold(); }
  void* native_stream(Stream&) override { return nullptr; }

  MemoryUse memory() const override { return pool_.use(); }
  std::int64_t full_speed_rows() const override { return 256; }
  std::int64_t memory_capacity() const override {
    return sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
  }
  void reset_memory_peaks() override { pool_.reset_peaks(); }

  double peak_flops_per_second(Dtype dtype) override {
    const auto [found, is_new] = peaks_.try_emplace(dtype);
    if (is_new) found->second = measure_peak(dtype);
    return found->second;
  }

 private:
  void enqueue(Stream& stream, const Operation& operation) override {
    if (const auto* matmul = std::get_if<Matmul>(&operation)) {
      host(stream).enqueue([this, op = *matmul] { matmul_.run(op); });
    } else {
      host(stream).enqueue([run = instructions_.run, operation] { run(operation); });
    }
  }

  // Of one thread. fp32 is measured by what adds and multiplies it, also where products are made of
  // bf16: they may be faster than this peak.
  double measure_thread(Dtype dtype) const {
    const bool half_width = dtype == Dtype::bf16 || dtype == Dtype::f16;
    if (half_width && has_amx()) return measure_amx_flops(dtype);
    return instructions_.measure_peak_flops() / (dtype == Dtype::f64 ? 2 : 1);
  }

  // All threads at once: cores that are busy together may clock lower, or be one core. More than
  // once: they may have been given to something else, and on a shared machine for a while.
  double measure_peak(Dtype dtype) const {
    constexpr int kRounds = 3;
    double best = 0;
    for (int round = 0; round < kRounds; ++round) {
      std::vector<double> rates(static_cast<std::size_t>(options_.threads));
      {
        std::vector<std::jthread> threads;
        for (double& rate : rates) {
          threads.emplace_back([&] { rate = measure_thread(dtype); });
        }
      }
      best = std::max(best, std::accumulate(rates.begin(), rates.end(), 0.0));
    }
    return best;
  }

  CpuOptions options_;
  const InstructionSet& instructions_;
  CpuMatmul matmul_;
  CachingPool pool_{std::make_unique<HostMemory>()};
  std::map<Dtype, double> peaks_;  // FLOP/s
};

}  // namespace

int cpu_thread_limit() { return omp_get_thread_limit(); }

std::unique_ptr<Backend> make_cpu_backend(CpuOptions options) {
  return std::make_unique<CpuBackend>(options);
}

}  // namespace trireme::kernels
