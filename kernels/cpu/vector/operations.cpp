#include "kernels/cpu/vector/operations.h"

#include <chrono>
#include <type_traits>

namespace trireme::kernels::VECTOR_NAMESPACE {

namespace {

// Matrix products are not run here.
template <class Kind>
void run_if(const Operation& operation) {
  if constexpr (!std::is_same_v<Kind, Matmul>) {
    if (const auto* kind = std::get_if<Kind>(&operation)) run(*kind);
  }
}

// Not std::visit, which would emit the exception it throws for a variant without a value.
template <class... Kinds>
void run_any(const std::variant<Kinds...>& operation) {
  (run_if<Kinds>(operation), ...);
}

}  // namespace

void run(const Operation& operation) { run_any(operation); }

double measure_peak_flops() {
  using Vector [[gnu::vector_size(VECTOR_BYTES)]] = float;
  constexpr int kLanes = VECTOR_BYTES / 4;
  constexpr int kChains = 12;  // independent, enough to hide the latency of two units
  constexpr long kRounds = 200'000;
  Vector chains[kChains];
  for (int c = 0; c < kChains; ++c) chains[c] = Vector{} + 1e-3f * static_cast<float>(c);
  const Vector factor = chains[3] + 0.5f;
  double best = 0;
  for (int trial = 0; trial < 25; ++trial) {
    const auto start = std::chrono::steady_clock::now();
    for (long round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
      for (int c = 0; c < kChains; ++c) chains[c] = chains[c] * factor + factor;
    }
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    const double rate = 2.0 * kLanes * kChains * kRounds / time.count();
    best = rate > best ? rate : best;
  }
  float sum = 0;
  for (const Vector& chain : chains) sum += chain[0];
  // Never true; keeps the loop from being removed.
  return sum == 0.123f ? 0.0 : best;
}

}  // namespace trireme::kernels::VECTOR_NAMESPACE
