#include "kernels/cuda/cuda_matmul.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/timed_runs.h"
#include "kernels/cuda/workspace.h"

namespace trireme::kernels {
namespace {

constexpr std::size_t kMostWorkspace = std::size_t{32} << 20;  // bytes: NVIDIA's advice for Hopper
constexpr std::uint32_t kBiasAlignment = 16;

cudaDataType_t type_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32: return CUDA_R_32F;
    case Dtype::bf16: return CUDA_R_16BF;
    case Dtype::f16: return CUDA_R_16F;
    default: break;
  }
  throw ContractViolation("matmul on CUDA: fp32, bf16 or fp16");
}

// Owns a cuBLASLt description; `destroy` is the library's own function for its type.
template <class Handle, cublasStatus_t (*destroy)(Handle)>
struct Deleter {
  using pointer = Handle;
  void operator()(Handle handle) const { destroy(handle); }  // nowhere to report from here
};
using Layout = std::unique_ptr<std::remove_pointer_t<cublasLtMatrixLayout_t>,
                               Deleter<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>>;
using Description = std::unique_ptr<std::remove_pointer_t<cublasLtMatmulDesc_t>,
                                    Deleter<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>>;
using Preference =
    std::unique_ptr<std::remove_pointer_t<cublasLtMatmulPreference_t>,
                    Deleter<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>>;

// cuBLASLt counts in columns: a row-major matrix is its transpose.
Layout layout_of(View view) {
  cublasLtMatrixLayout_t layout;
  check(cublasLtMatrixLayoutCreate(&layout, type_of(view.dtype),
                                   static_cast<std::uint64_t>(view.columns),
                                   static_cast<std::uint64_t>(view.rows), view.stride));
  return Layout(layout);
}

template <class Value>
void set(const Description& description, cublasLtMatmulDescAttributes_t attribute,
         const Value& value) {
  check(cublasLtMatmulDescSetAttribute(description.get(), attribute, &value, sizeof value));
}

Description describe(const Matmul& op) {
  cublasLtMatmulDesc_t made;
  check(cublasLtMatmulDescCreate(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  Description description(made);
  // out^T = op(b)^T op(a)^T: the operands change places.
  set(description, CUBLASLT_MATMUL_DESC_TRANSA, op.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(description, CUBLASLT_MATMUL_DESC_TRANSB, op.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  if (op.bias) {
    set(description, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set(description, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of(op.bias.dtype));
    // What is chosen depends on how it is aligned.
    set(description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, op.bias.data);
  }
  return description;
}

// The largest power of two up to 256 that divides the address: without it cuBLASLt takes 256 for
// granted.
std::uint32_t alignment_of(const View& view) {
  const auto address = reinterpret_cast<std::uintptr_t>(view.data);
  const std::uintptr_t lowest = address & (~address + 1);
  return static_cast<std::uint32_t>(lowest < 256 ? lowest : 256);
}

Preference preference_for(const Matmul& op) {
  cublasLtMatmulPreference_t made;
  check(cublasLtMatmulPreferenceCreate(&made));
  Preference preference(made);
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    check(cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof value));
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kMostWorkspace);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(op.b));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(op.a));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(op.out));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(op.out));
  return preference;
}

}  // namespace

// What cuBLASLt is told about a product, and what was chosen.
struct CudaMatmul::Plan {
  Description description;
  Layout a, b, out;
  cublasLtMatmulAlgo_t algorithm = {};
  std::size_t workspace = 0;  // bytes that the algorithm works with
  int tried = 0;              // algorithms, at most

  void take(const cublasLtMatmulHeuristicResult_t& choice) {
    algorithm = choice.algo;
    workspace = choice.workspaceSize;
  }
};

CudaMatmul::CudaMatmul() { check(cublasLtCreate(&handle_)); }

CudaMatmul::~CudaMatmul() {
  plans_.clear();
  cublasLtDestroy(handle_);
}

CudaMatmul::Operand CudaMatmul::operand_of(const View& view) {
  return {.rows = view.rows,
          .columns = view.columns,
          .stride = view.stride,
          .dtype = view.dtype,
          .alignment = alignment_of(view)};
}

CudaMatmul::Kind CudaMatmul::kind_of(const Matmul& op) {
  return {.a = operand_of(op.a),
          .b = operand_of(op.b),
          .out = operand_of(op.out),
          .transpose_a = op.transpose_a,
          .transpose_b = op.transpose_b,
          .bias_alignment = op.bias ? alignment_of(op.bias) : 0};
}

void CudaMatmul::try_algorithms(int most) {
  const std::lock_guard lock(mutex_);
  tries_ = most;
}

CudaMatmul::Plan& CudaMatmul::plan_for(const Queue& queue, const Matmul& op) {
  auto& plan = plans_[kind_of(op)];
  if (plan && plan->tried >= tries_) return *plan;
  auto made = std::make_unique<Plan>(Plan{.description = describe(op),
                                          .a = layout_of(op.b),
                                          .b = layout_of(op.a),
                                          .out = layout_of(op.out)});
  choose(queue, op, *made);
  plan = std::move(made);
  return *plan;
}

void CudaMatmul::choose(const Queue& queue, const Matmul& op, Plan& plan) {
  const Preference preference = preference_for(op);
  std::vector<cublasLtMatmulHeuristicResult_t> choices(
      static_cast<std::size_t>(std::max(tries_, 1)));
  int found = 0;
  check(cublasLtMatmulAlgoGetHeuristic(handle_, plan.description.get(), plan.a.get(), plan.b.get(),
                                       plan.out.get(), plan.out.get(), preference.get(),
                                       static_cast<int>(choices.size()), choices.data(), &found));
  if (found == 0) throw DeviceError("cuBLASLt knows no algorithm for a product of this shape");
  plan.take(choices[0]);
  plan.tried = tries_;
  if (found == 1) return;
  // In memory of its own: what the product adds to stays as it is.
  const Tensor out =
      workspace_if_any(queue.pool(), queue.stream(), {op.out.rows, op.out.stride}, op.out.dtype);
  if (!out) return;
  float best = std::numeric_limits<float>::infinity();
  std::size_t fastest = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(found); ++i) {
    plan.take(choices[i]);
    const auto milliseconds = time(queue, op, plan, out.view().data);
    if (!milliseconds || *milliseconds > kWorthIt * best) continue;
    best = *milliseconds;
    fastest = i;
  }
  plan.take(choices[fastest]);
}

std::optional<float> CudaMatmul::time(const Queue& queue, const Matmul& op, const Plan& plan,
                                      void* out) {
  const Shape words{1, static_cast<std::int64_t>(plan.workspace / sizeof(float)) + 1};
  const Tensor workspace = workspace_if_any(queue.pool(), queue.stream(), words, Dtype::f32);
  if (!workspace) return std::nullopt;
  const Space space{out, workspace.view().data};
  if (multiply(queue, op, plan, space) != CUBLAS_STATUS_SUCCESS) return std::nullopt;
  return time_runs(queue, [&] { check(multiply(queue, op, plan, space)); });
}

cublasStatus_t CudaMatmul::multiply(cudaStream_t stream, const Matmul& op, const Plan& plan,
                                    const Space& space) {
  const float one = 1, keep = op.accumulate ? 1.0f : 0.0f;
  return cublasLtMatmul(handle_, plan.description.get(), &one, op.b.data, plan.a.get(), op.a.data,
                        plan.b.get(), &keep, space.out, plan.out.get(), space.out, plan.out.get(),
                        &plan.algorithm, space.workspace, plan.workspace, stream);
}

void CudaMatmul::launch(const Queue& queue, const Matmul& op) {
  if (op.out.size() == 0) return;
  const std::lock_guard lock(mutex_);
  if (!op.bias || alignment_of(op.bias) >= kBiasAlignment) return launch_aligned(queue, op);
  // Parameters follow each other without gaps; cuBLASLt reads a bias in packs.
  const Scratch<std::byte> aligned(queue, static_cast<std::int64_t>(op.bias.bytes()));
  Matmul moved = op;
  moved.bias.data = aligned.data();
  check(cudaMemcpyAsync(moved.bias.data, op.bias.data, op.bias.bytes(), cudaMemcpyDeviceToDevice,
                        queue));
  launch_aligned(queue, moved);
}

void CudaMatmul::launch_aligned(const Queue& queue, const Matmul& op) {
  Plan& plan = plan_for(queue, op);
  if (op.bias) set(plan.description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, op.bias.data);
  std::optional<Scratch<std::byte>> workspace;
  if (plan.workspace > 0) workspace.emplace(queue, static_cast<std::int64_t>(plan.workspace));
  check(multiply(queue, op, plan, {op.out.data, workspace ? workspace->data() : nullptr}));
}

}  // namespace trireme::kernels
