#pragma once

#include "kernels/tensor.h"

namespace trireme::kernels {

// Memory that a faster way needs; nothing where there is no more: a slower one will do.
inline Tensor workspace_if_any(Pool& pool, Stream& stream, Shape shape, Dtype dtype) {
  View view(nullptr, shape, dtype);
  view.data = pool.try_allocate(view.bytes(), stream, Category::workspace);
  return view ? Tensor(view, pool, stream, Category::workspace) : Tensor();
}

}  // namespace trireme::kernels
