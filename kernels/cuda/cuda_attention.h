#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "kernels/cuda/cudnn_graph.h"
#include "kernels/memory.h"
#include "kernels/ops.h"

namespace trireme::kernels {

// Attention and its gradient, by this program's own kernels, the same bits every time, or by cuDNN:
// when ways are tried, once per kind of operation, cuDNN is taken where it is faster and its
// results are those of the own kernels.
class CudaAttention {
 public:
  // `pool` has to outlive it.
  explicit CudaAttention(Pool& pool);
  ~CudaAttention();
  CudaAttention(const CudaAttention&) = delete;
  CudaAttention& operator=(const CudaAttention&) = delete;

  void launch(Stream& stream, const Attention& op);
  void launch(Stream& stream, const AttentionBackward& op);

  // How many ways are tried for operations that come from now on: see Backend::try_ways.
  void try_ways(int most);

  // "cuDNN 9.19.0"; empty without one.
  std::string library() const;

 private:
  // All that a plan depends on: sizes, strides, dtype and scale.
  using Kind = std::array<std::int64_t, 16>;
  struct Choice {
    int tried = 0;  // ways, at most
    std::optional<CudnnPlan> plan;
  };

  static Kind kind_of(const Attention& op);
  static Kind kind_of(const AttentionBackward& op);
  template <class Op>
  void launch_fastest(Stream& stream, const Op& op);
  template <class Op>
  const CudnnPlan* plan_for(Stream& stream, const Op& op);
  template <class Op>
  std::optional<CudnnPlan> choose(Stream& stream, const Op& op);
  template <class Op>
  void run(const CudnnPlan& plan, Stream& stream, const Op& op);
  cudnnHandle_t handle_for(Stream& stream);

  Pool& pool_;
  const std::optional<CudnnLibrary> library_;
  std::mutex mutex_;
  int tries_ = 0;
  std::map<Kind, Choice> choices_;
  cudnnHandle_t handle_ = nullptr;
};

}  // namespace trireme::kernels
