#pragma once

#include "kernels/ops.h"

namespace trireme::kernels {

// Matrix products in the tiles of AMX, Intel's matrix unit (Sapphire Rapids, 2023, and later). It
// multiplies bf16 and adds in f32. A number of f32 is the sum of three of bf16, and a product of
// two such sums, without the three terms below 2^-24 of it, is six products of bf16: as exact as
// f32's own arithmetic (Henry, Tang and Heinecke 2019, https://arxiv.org/abs/1904.06376), at 16
// times its rate. One of f16 is the sum of two. Parts below 2^-126 count as zero, and what is
// infinite makes NaN.
//
// The order of additions depends on the shape alone: the same bits with any number of threads.

// Whether processor and system have it.
bool has_amx();

// Whether the unit takes this product, and it is large enough to gain.
bool suits_amx(const Matmul& op);

// Products of `dtype`, in FLOP/s, that the unit could do on this thread if nothing else took time.
double measure_amx_flops(Dtype dtype);

// `op.out` is f32. On the calling thread and its OpenMP team; done on return.
void multiply_with_amx(const Matmul& op);

}  // namespace trireme::kernels
