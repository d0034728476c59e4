#include "kernels/synthetic/synthetic_backend.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "kernels/cpu/host_memory.h"
#include "kernels/cpu/host_stream.h"

namespace trireme::kernels {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_of(Clock::time_point time) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

// Sleeps so long on average: by what a sleep of this thread ended late, its next one is shorter.
// Without the 50 microseconds that the kernel may add to be kind to batteries, and in two parts: a
// processor that has been idle for long, a virtual one most of all, wakes up to 0.2 ms late, and
// one that has only just gone idle within 0.02 ms.
void sleep_exactly(Clock::duration time) {
  constexpr std::chrono::microseconds kLightSleep{300};
  thread_local const int slack = prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
  static_cast<void>(slack);
  thread_local Clock::duration late{0};
  const Clock::time_point end = Clock::now() + time - late;
  std::this_thread::sleep_until(end - kLightSleep);
  std::this_thread::sleep_until(end);
  late = Clock::now() - end;
}

}  // namespace

SyntheticBackend::SyntheticBackend(Options options)
    : options_(options), pool_(std::make_unique<HostMemory>()) {}

void SyntheticBackend::pause(Stream& stream, double seconds, Interval* ran) {
  host(stream).enqueue([seconds, ran] {
    const auto start = Clock::now();
    sleep_exactly(
        std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds)));
    if (ran) *ran = {.start = seconds_of(start), .end = seconds_of(Clock::now())};
  });
}

std::string SyntheticBackend::description() const { return "synthetic"; }

std::unique_ptr<Stream> SyntheticBackend::make_stream() {
  return std::make_unique<HostStream>(1, [this](const Stream& stream) { pool_.forget(stream); });
}

Tensor SyntheticBackend::allocate(Stream& stream, Shape shape, Dtype dtype, Category category) {
  View view(nullptr, shape, dtype);
  view.data = pool_.allocate(view.bytes(), stream, category);
  return Tensor(view, pool_, stream, category);
}

void SyntheticBackend::upload(Stream& stream, std::span<const std::byte> from, View to) {
  expects(to.contiguous() && from.size() == to.bytes(), "upload: as many bytes as the view");
  host(stream).enqueue([from, to] { std::memcpy(to.data, from.data(), from.size()); });
}

void SyntheticBackend::download(Stream& stream, View from, std::span<std::byte> to) {
  expects(from.contiguous() && to.size() == from.bytes(), "download: as many bytes as the view");
  host(stream).enqueue([from, to] { std::memcpy(to.data(), from.data, to.size()); });
}

std::shared_ptr<std::byte[]> SyntheticBackend::host_memory(std::size_t bytes) {
  return make_host_memory(bytes);
}

std::shared_ptr<Hold> SyntheticBackend::hold(Stream& stream) { return host(stream).hold(); }

std::int64_t SyntheticBackend::memory_capacity() const {
  return sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
}

void SyntheticBackend::enqueue(Stream& stream, const Operation& operation) {
  const Cost cost = std::visit([](const auto& op) { return op.cost(); }, operation);
  pause(stream,
        std::max(cost.flops / options_.flops_per_second, cost.bytes / options_.bytes_per_second));
}

}  // namespace trireme::kernels
