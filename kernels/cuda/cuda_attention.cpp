#include "kernels/cuda/cuda_attention.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <type_traits>
#include <utility>

#include "kernels/cuda/attention_trial.h"
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/cuda_stream.h"
#include "kernels/cuda/cudnn_attention.h"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/timed_runs.h"
#include "kernels/cuda/workspace.h"
#include "kernels/log.h"

namespace trireme::kernels {
namespace {

// Between two right kernels that round to 16 bits at different places.
constexpr double kTolerance = 2e-2;

// cuDNN names the most promising first, and takes half a second to make one.
constexpr int kMostPlans = 2;

template <class Op>
const Op& operation_of(const AttentionTrial& trial) {
  if constexpr (std::is_same_v<Op, Attention>) {
    return trial.forward();
  } else {
    return trial.backward();
  }
}

}  // namespace

CudaAttention::CudaAttention(Pool& pool) : pool_(pool), library_(load_cudnn()) {}

std::string CudaAttention::library() const {
  return library_ ? "cuDNN " + library_->version_text() : "";
}

void CudaAttention::try_ways(int most) {
  const std::lock_guard lock(mutex_);
  tries_ = most;
}

CudaAttention::Kind CudaAttention::kind_of(const Attention& op) {
  return {op.q.rows,
          op.shape.sequence,
          op.shape.heads,
          op.shape.kv_heads,
          op.shape.head_dim,
          static_cast<std::int64_t>(op.q.dtype),
          std::bit_cast<std::int64_t>(op.scale),
          op.q.stride,
          op.k.stride,
          op.v.stride,
          op.out.stride};
}

CudaAttention::Kind CudaAttention::kind_of(const AttentionBackward& op) {
  Kind kind = kind_of(forward_of(op));
  kind.insert(kind.end(), {op.d_out.stride, op.d_q.stride, op.d_k.stride, op.d_v.stride});
  return kind;
}

cudnnHandle_t CudaAttention::handle_for(Stream& stream) {
  const cudaStream_t on = native(stream);
  if (!handle_) {
    cudnnHandle_t made = nullptr;
    library_->check(library_->create(&made));
    handle_ = Handle(made, library_->destroy);
  }
  library_->check(library_->set_stream(handle_.get(), on));
  return handle_.get();
}

void CudaAttention::launch(Stream& stream, const Attention& op) { launch_fastest(stream, op); }

void CudaAttention::launch(Stream& stream, const AttentionBackward& op) {
  launch_fastest(stream, op);
}

template <class Op>
Tensor CudaAttention::workspace_for(const CudnnPlan& plan, Stream& stream, const Op& op) {
  const std::size_t words = workspace_bytes(plan, op) / sizeof(float) + 1;
  return workspace_if_any(pool_, stream, {1, static_cast<std::int64_t>(words)}, Dtype::f32);
}

template <class Op>
void CudaAttention::launch_fastest(Stream& stream, const Op& op) {
  std::unique_lock lock(mutex_);
  if (const CudnnPlan* plan = plan_for(stream, op)) {
    if (const Tensor workspace = workspace_for(*plan, stream, op)) {
      return kernels::launch(*plan, handle_for(stream), op, workspace);
    }
  }
  lock.unlock();
  kernels::launch(Queue(stream, pool_), op);
}

template <class Op>
const CudnnPlan* CudaAttention::plan_for(Stream& stream, const Op& op) {
  if (!library_ || op.q.rows == 0 || !is_for(*library_, op)) return nullptr;
  Choice& choice = choices_[kind_of(op)];
  if (choice.tried < tries_) {
    choice.plan = choose(stream, op);
    choice.tried = tries_;
  }
  return choice.plan ? &*choice.plan : nullptr;
}

template <class Op>
std::optional<CudnnPlan> CudaAttention::choose(Stream& stream, const Op& op) {
  // cuDNN loads code, for which a device has to be idle: nothing may be on its way from others.
  check(cudaStreamSynchronize(native(stream)));
  std::optional<CudnnPlan> fastest;
  try {
    auto plans =
        graph_of(*library_, op).plans({.handle = handle_for(stream)}, std::min(tries_, kMostPlans));
    if (plans.empty()) return fastest;
    AttentionTrial trial(pool_, stream, op);
    const auto own = [&] { kernels::launch(Queue(stream, pool_), operation_of<Op>(trial)); };
    own();
    trial.expect_these_results();
    float best = time_runs(native(stream), own);
    for (CudnnPlan& plan : plans) {
      const float milliseconds = time<Op>(plan, stream, trial);
      if (milliseconds > kWorthIt * best) continue;
      best = milliseconds;
      fastest = std::move(plan);
    }
  } catch (const DeviceError& error) {
    log().warn("attention without {}: {}", library(), error.what());
  }
  return fastest;
}

// Of a launch, in milliseconds; for ever if it computes something else than the own kernels.
template <class Op>
float CudaAttention::time(const CudnnPlan& plan, Stream& stream, AttentionTrial& trial) {
  const Op& op = operation_of<Op>(trial);
  const Tensor workspace = workspace_for(plan, stream, op);
  if (!workspace) return std::numeric_limits<float>::infinity();
  const auto by_cudnn = [&] { kernels::launch(plan, handle_for(stream), op, workspace); };
  trial.forget_results();
  // Nothing may depend on what a workspace happens to hold.
  kernels::launch(native(stream),
                  Fill{.out = workspace, .value = std::numeric_limits<double>::quiet_NaN()});
  by_cudnn();
  const float milliseconds = time_runs(native(stream), by_cudnn);
  const double error = trial.error();
  if (error <= kTolerance) return milliseconds;
  log().warn("{} computes attention with an error of {:.2g}: not used", library(), error);
  return std::numeric_limits<float>::infinity();
}

}  // namespace trireme::kernels
