#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/cuda/cudnn_graph.h"
#include "kernels/memory.h"
#include "kernels/ops.h"
#include "kernels/tensor.h"

namespace trireme::kernels {

class AttentionTrial;

// Attention and its gradient, by this program's own kernels, the same bits every time, or by cuDNN:
// when ways are tried, once per kind of operation, cuDNN is taken where it is faster and its
// results are those of the own kernels.
class CudaAttention {
 public:
  // `pool` has to outlive it.
  explicit CudaAttention(Pool& pool);

  void launch(Stream& stream, const Attention& op);
  void launch(Stream& stream, const AttentionBackward& op);

  // How many ways are tried for operations that come from now on: see Backend::try_ways.
  void try_ways(int most);

  // "cuDNN 9.19.0"; empty without one.
  std::string library() const;

 private:
  using Handle = std::unique_ptr<std::remove_pointer_t<cudnnHandle_t>, decltype(&cudnnDestroy)>;
  // All that a plan depends on: sizes, strides, dtype and scale.
  using Kind = std::vector<std::int64_t>;
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
  // What a launch works with; nothing where there is not as much memory: the own kernels need less.
  template <class Op>
  Tensor workspace_for(const CudnnPlan& plan, Stream& stream, const Op& op);
  template <class Op>
  float time(const CudnnPlan& plan, Stream& stream, AttentionTrial& trial);
  cudnnHandle_t handle_for(Stream& stream);

  Pool& pool_;
  const std::optional<CudnnLibrary> library_;
  std::mutex mutex_;
  int tries_ = 0;
  Handle handle_{nullptr, nullptr};
  std::map<Kind, Choice> choices_;  // go before the handle they were made with
};

}  // namespace trireme::kernels
