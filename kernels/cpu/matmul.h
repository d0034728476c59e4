#pragma once

#include <memory>

#include "kernels/operation.h"

namespace trireme::kernels {

// Runs an operation of cpu/vector, built for the instruction set chosen at start.
using RunVectorOperation = void (*)(const Operation&);

// Matrix products on the CPU: in the tiles of AMX where there is that, otherwise f32 goes to
// oneDNN, whose primitives are cached by shape, and bf16 and f16 are converted, because other
// instructions of their own are no faster than f32's; f64 is a plain loop. oneDNN splits some
// products over threads along the inner dimension: its results are the same on every run with the
// same number of threads, not across numbers of threads.
class CpuMatmul {
 public:
  explicit CpuMatmul(RunVectorOperation convert);
  ~CpuMatmul();

  // On the calling thread and its OpenMP team; done on return.
  void run(const Matmul& op);

 private:
  class Primitives;

  void run_on_amx(const Matmul& op);
  void run_converted(const Matmul& op);

  RunVectorOperation convert_;
  std::unique_ptr<Primitives> primitives_;
};

}  // namespace trireme::kernels
