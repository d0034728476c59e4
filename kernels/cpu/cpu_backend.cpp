#include <cstring>
#include <optional>

#include "kernels/backend.h"
#include "kernels/cpu/host_pool.h"
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
  }

  std::string description() const override {
    return "cpu (" + std::string(instructions_.name) + ", " + std::to_string(options_.threads) +
           (options_.threads == 1 ? " thread)" : " threads)");
  }

  std::unique_ptr<Stream> make_stream() override {
    return std::make_unique<HostStream>(options_.threads);
  }

  Tensor allocate(Stream& stream, Shape shape, Dtype dtype, Category category) override {
    View view(nullptr, shape, dtype);
    view.data = pool_.allocate(view.bytes(), stream, category);
    return Tensor(view, pool_, stream, category);
  }

  void upload(Stream& stream, std::span<const std::byte> from, View to) override {
    expects(to.contiguous() && from.size() == to.bytes(), "upload: as many bytes as the view");
    host(stream).enqueue([from, to] { std::memcpy(to.data, from.data(), from.size()); });
  }

  void download(Stream& stream, View from, std::span<std::byte> to) override {
    expects(from.contiguous() && to.size() == from.bytes(), "download: as many bytes as the view");
    host(stream).enqueue([from, to] { std::memcpy(to.data(), from.data, to.size()); });
  }

  MemoryUse memory() const override { return pool_.use(); }
  void reset_memory_peaks() override { pool_.reset_peaks(); }

  double peak_flops_per_second(Dtype dtype) override {
    if (!peak_per_thread_) peak_per_thread_ = instructions_.measure_peak_flops();
    const double threads = static_cast<double>(options_.threads);
    return threads * *peak_per_thread_ / (dtype == Dtype::f64 ? 2 : 1);
  }

 private:
  void enqueue(Stream& stream, const Operation& operation) override {
    if (const auto* matmul = std::get_if<Matmul>(&operation)) {
      host(stream).enqueue([this, op = *matmul] { matmul_.run(op); });
    } else {
      host(stream).enqueue([run = instructions_.run, operation] { run(operation); });
    }
  }

  CpuOptions options_;
  const InstructionSet& instructions_;
  CpuMatmul matmul_;
  HostPool pool_;
  std::optional<double> peak_per_thread_;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(CpuOptions options) {
  return std::make_unique<CpuBackend>(options);
}

}  // namespace trireme::kernels
