#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <chrono>
#include <thread>

std::vector<double> lt_algorithms = {0};
std::atomic<int> lt_last_algorithm = -1;

namespace {

// What every algorithm works with.
constexpr std::size_t kWorkspace = 4096;  // bytes

float number(const void* data, cudaDataType_t type, std::int64_t at) {
  switch (type) {
    case CUDA_R_16BF: return __bfloat162float(static_cast<const __nv_bfloat16*>(data)[at]);
    case CUDA_R_16F: return __half2float(static_cast<const __half*>(data)[at]);
    case CUDA_R_32F: break;
  }
  return static_cast<const float*>(data)[at];
}

void put(void* data, cudaDataType_t type, std::int64_t at, float value) {
  switch (type) {
    case CUDA_R_16BF: static_cast<__nv_bfloat16*>(data)[at] = __float2bfloat16_rn(value); return;
    case CUDA_R_16F: static_cast<__half*>(data)[at] = __float2half_rn(value); return;
    case CUDA_R_32F: static_cast<float*>(data)[at] = value; return;
  }
}

// Element (r, c) of a matrix, or of its transpose.
float element(const void* data, const LtMatrixLayout& layout, bool transposed, std::int64_t r,
              std::int64_t c) {
  const std::int64_t at = transposed ? c + r * layout.stride : r + c * layout.stride;
  return number(data, layout.type, at);
}

struct Product {
  LtMatmulDescription how;
  float alpha, beta;
  const void* a;
  LtMatrixLayout a_layout;
  const void* b;
  LtMatrixLayout b_layout;
  const void* c;
  LtMatrixLayout c_layout;
  void* d;
  LtMatrixLayout d_layout;

  bool a_turned() const { return how.transpose_a == CUBLAS_OP_T; }
  bool b_turned() const { return how.transpose_b == CUBLAS_OP_T; }
  std::uint64_t inner() const { return a_turned() ? a_layout.rows : a_layout.columns; }

  bool fits() const {
    return inner() == (b_turned() ? b_layout.columns : b_layout.rows) &&
           (a_turned() ? a_layout.columns : a_layout.rows) == d_layout.rows &&
           (b_turned() ? b_layout.rows : b_layout.columns) == d_layout.columns;
  }

  float at(std::int64_t row, std::int64_t column) const {
    float sum = 0;
    for (std::int64_t k = 0; k < static_cast<std::int64_t>(inner()); ++k) {
      sum += element(a, a_layout, a_turned(), row, k) * element(b, b_layout, b_turned(), k, column);
    }
    sum *= alpha;
    // With a factor of zero, what is there is not even read.
    if (beta != 0) sum += beta * element(c, c_layout, false, row, column);
    if (how.epilogue == CUBLASLT_EPILOGUE_BIAS) sum += number(how.bias, how.bias_type, row);
    return sum;
  }

  void run() const {
    for (std::int64_t column = 0; column < static_cast<std::int64_t>(d_layout.columns); ++column) {
      for (std::int64_t row = 0; row < static_cast<std::int64_t>(d_layout.rows); ++row) {
        put(d, d_layout.type, row + column * d_layout.stride, at(row, column));
      }
    }
  }
};

}  // namespace

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = new LtHandle;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}
const char* cublasLtGetStatusString(cublasStatus_t) { return "not supported"; }

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType_t type,
                                          std::uint64_t rows, std::uint64_t columns,
                                          std::int64_t stride) {
  *layout = new LtMatrixLayout{type, rows, columns, stride};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* description, cublasComputeType_t,
                                        cudaDataType_t) {
  *description = new LtMatmulDescription;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description) {
  delete description;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t description,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, std::size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA: std::memcpy(&description->transpose_a, value, bytes); break;
    case CUBLASLT_MATMUL_DESC_TRANSB: std::memcpy(&description->transpose_b, value, bytes); break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE: std::memcpy(&description->epilogue, value, bytes); break;
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: std::memcpy(&description->bias, value, bytes); break;
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      std::memcpy(&description->bias_type, value, bytes);
      break;
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new LtMatmulPreference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t,
                                                    cublasLtMatmulPreferenceAttributes_t,
                                                    const void*, std::size_t) {
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatmulPreference_t, int wanted,
                                              cublasLtMatmulHeuristicResult_t* results,
                                              int* found) {
  *found = std::min(wanted, static_cast<int>(lt_algorithms.size()));
  for (int i = 0; i < *found; ++i) results[i] = {.algo = {i}, .workspaceSize = kWorkspace};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t description, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              std::size_t workspace_bytes, cudaStream_t stream) {
  const Product product{.how = *description,
                        .alpha = *static_cast<const float*>(alpha),
                        .beta = *static_cast<const float*>(beta),
                        .a = a,
                        .a_layout = *a_layout,
                        .b = b,
                        .b_layout = *b_layout,
                        .c = c,
                        .c_layout = *c_layout,
                        .d = d,
                        .d_layout = *d_layout};
  const bool is_aligned = reinterpret_cast<std::uintptr_t>(description->bias) % 16 == 0;
  if (!product.fits() || !is_aligned || workspace_bytes < kWorkspace)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  const double milliseconds = lt_algorithms.at(static_cast<std::size_t>(algorithm->number));
  if (milliseconds < 0) return CUBLAS_STATUS_NOT_SUPPORTED;
  lt_last_algorithm = algorithm->number;
  stream->queue.enqueue([product, milliseconds, workspace] {
    std::memset(workspace, 0xff, kWorkspace);
    std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(milliseconds));
    product.run();
  });
  return CUBLAS_STATUS_SUCCESS;
}
