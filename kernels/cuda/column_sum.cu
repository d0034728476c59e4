#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/operations.h"

namespace trireme::kernels {
namespace {

template <class T>
void column_sum(cudaStream_t stream, const ColumnSum& op) {
  const auto x = rows_of<T>(op.x);
  add_column_sums<float>(stream, op.x.shape(), op.out,
                         [x] __device__(std::int64_t r, std::int64_t c) { return load(x[r][c]); });
}

// Losses are added in double precision.
void column_sum_f64(cudaStream_t stream, const ColumnSum& op) {
  const auto x = rows_of<double>(op.x);
  add_column_sums<double>(stream, op.x.shape(), op.out,
                          [x] __device__(std::int64_t r, std::int64_t c) { return x[r][c]; });
}

}  // namespace

void launch(cudaStream_t stream, const ColumnSum& op) {
  if (op.x.dtype == Dtype::f64) return column_sum_f64(stream, op);
  dispatch(op.x.dtype, [&]<class T>() { column_sum<T>(stream, op); });
}

}  // namespace trireme::kernels
