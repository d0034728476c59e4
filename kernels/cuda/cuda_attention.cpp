#include "kernels/cuda/cuda_attention.h"

#include <algorithm>
#include <bit>
#include <type_traits>
#include <utility>

#include "kernels/cuda/attention_trial.h"
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/cuda_stream.h"
#include "kernels/cuda/cudnn_attention.h"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/timed_runs.h"
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

CudaAttention::~CudaAttention() {
  if (handle_) library_->destroy(handle_);
}

std::string CudaAttention::library() const { return library_ ? "cuDNN " + library_->version : ""; }

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
          op.q.stride,
          op.k.stride,
          op.v.stride,
          op.out.stride,
          0,
          0,
          0,
          0,
          0,
          std::bit_cast<std::int64_t>(op.scale)};
}

CudaAttention::Kind CudaAttention::kind_of(const AttentionBackward& op) {
  return {op.q.rows,
          op.shape.sequence,
          op.shape.heads,
          op.shape.kv_heads,
          op.shape.head_dim,
          static_cast<std::int64_t>(op.q.dtype),
          op.q.stride,
          op.k.stride,
          op.v.stride,
          op.out.stride,
          op.d_out.stride,
          op.d_q.stride,
          op.d_k.stride,
          op.d_v.stride,
          1,
          std::bit_cast<std::int64_t>(op.scale)};
}

cudnnHandle_t CudaAttention::handle_for(Stream& stream) {
  const cudaStream_t on = native(stream);
  if (!handle_) library_->check(library_->create(&handle_));
  library_->check(library_->set_stream(handle_, on));
  return handle_;
}

void CudaAttention::launch(Stream& stream, const Attention& op) { launch_fastest(stream, op); }

void CudaAttention::launch(Stream& stream, const AttentionBackward& op) {
  launch_fastest(stream, op);
}

template <class Op>
void CudaAttention::launch_fastest(Stream& stream, const Op& op) {
  std::unique_lock lock(mutex_);
  if (const CudnnPlan* plan = plan_for(stream, op)) return run(*plan, stream, op);
  lock.unlock();
  kernels::launch(native(stream), op);
}

template <class Op>
const CudnnPlan* CudaAttention::plan_for(Stream& stream, const Op& op) {
  if (!library_ || op.q.rows == 0 || !is_for_cudnn(op)) return nullptr;
  Choice& choice = choices_[kind_of(op)];
  if (choice.tried < tries_) {
    choice.plan = choose(stream, op);
    choice.tried = tries_;
  }
  return choice.plan ? &*choice.plan : nullptr;
}

template <class Op>
std::optional<CudnnPlan> CudaAttention::choose(Stream& stream, const Op& op) {
  std::optional<CudnnPlan> fastest;
  try {
    const cudnnHandle_t handle = handle_for(stream);
    auto plans = graph_of(*library_, op).plans({.handle = handle}, std::min(tries_, kMostPlans));
    if (plans.empty()) return fastest;
    AttentionTrial trial(pool_, stream, op);
    const Op& tried = operation_of<Op>(trial);
    const auto own = [&] { kernels::launch(native(stream), tried); };
    own();
    const auto expected = trial.results();
    float best = time_runs(native(stream), own);
    for (CudnnPlan& plan : plans) {
      const auto by_cudnn = [&] { run(plan, stream, tried); };
      trial.forget_results();
      by_cudnn();
      const double error = largest_error(trial.results(), expected);
      if (!(error <= kTolerance)) {
        log().warn("{} computes attention with an error of {:.2g}: not used", library(), error);
        continue;
      }
      const float milliseconds = time_runs(native(stream), by_cudnn);
      if (milliseconds > kWorthIt * best) continue;
      best = milliseconds;
      fastest = std::move(plan);
    }
  } catch (const DeviceError& error) {
    log().warn("attention without cuDNN: {}", error.what());
    fastest.reset();
  }
  return fastest;
}

template <class Op>
void CudaAttention::run(const CudnnPlan& plan, Stream& stream, const Op& op) {
  const std::size_t bytes = workspace_bytes(plan, op);
  void* workspace = bytes > 0 ? pool_.allocate(bytes, stream, Category::workspace) : nullptr;
  kernels::launch(plan, handle_for(stream), op, static_cast<std::byte*>(workspace));
  if (bytes > 0) pool_.release(workspace, bytes, stream, Category::workspace);
}

}  // namespace trireme::kernels
