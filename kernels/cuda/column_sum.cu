#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/queue.h"

namespace trireme::kernels {
namespace {

template <class T>
struct Elements {
  Rows<T> x;

  template <int n>
  __device__ void add(std::int64_t r, std::int64_t c, float (&sums)[n]) const {
    const auto numbers = read<n>(x[r] + c);
    for (int i = 0; i < n; ++i) sums[i] += numbers[i];
  }
};

// Losses are added in double precision.
struct Losses {
  Rows<double> x;

  template <int n>
  __device__ void add(std::int64_t r, std::int64_t c, double (&sums)[n]) const {
    for (int i = 0; i < n; ++i) sums[i] += x[r][c + i];
  }
};

template <class T>
void column_sum(const Queue& queue, const ColumnSum& op) {
  constexpr int kWide = 16 / static_cast<int>(sizeof(T));
  const Elements<T> elements{rows_of<T>(op.x)};
  if (in_packs<T>({op.x})) {
    add_column_sums<kWide, float>(queue, op.x.shape(), op.out, elements);
  } else {
    add_column_sums<1, float>(queue, op.x.shape(), op.out, elements);
  }
}

}  // namespace

void launch(const Queue& queue, const ColumnSum& op) {
  if (op.x.rows == 0) return;
  if (op.x.dtype == Dtype::f64) {
    const Losses losses{rows_of<double>(op.x)};
    return add_column_sums<1, double>(queue, op.x.shape(), op.out, losses);
  }
  dispatch(op.x.dtype, [&]<class T>() { column_sum<T>(queue, op); });
}

}  // namespace trireme::kernels
