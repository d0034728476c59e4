#include "kernels/cpu/vector/numbers.h"
#include "kernels/cpu/vector/operations.h"

namespace trireme::kernels::VECTOR_NAMESPACE {
namespace {

// gelu(x) = x / 2 (1 + tanh(u)), u = sqrt(2 / pi) (x + 0.044715 x^3).
constexpr double kRootTwoOverPi = 0.79788456080286535588;
constexpr double kCubic = 0.044715;

template <class Number>
Number gelu(Number x) {
  const Number u = Number(kRootTwoOverPi) * (x + Number(kCubic) * x * x * x);
  return Number(0.5) * x * (Number(1) + hyperbolic_tangent(u));
}

template <class Number>
Number gelu_slope(Number x) {
  const Number u = Number(kRootTwoOverPi) * (x + Number(kCubic) * x * x * x);
  const Number slope = Number(kRootTwoOverPi) * (Number(1) + Number(3 * kCubic) * x * x);
  const Number t = hyperbolic_tangent(u);
  return Number(0.5) * (Number(1) + t) + Number(0.5) * x * (Number(1) - t * t) * slope;
}

template <class To, class From>
void convert_rows(const Convert& op) {
#pragma omp parallel for schedule(static)
  for (std::int64_t r = 0; r < op.x.rows; ++r) {
    const From* x = row<From>(op.x, r);
    To* out = row<To>(op.out, r);
#pragma omp simd
    for (std::int64_t c = 0; c < op.x.columns; ++c) {
      store(out[c], static_cast<Real<To>>(load(x[c])));
    }
  }
}

template <class T>
void swiglu_backward_row(const T* gate, const T* up, const T* d_out, T* d_gate, T* d_up,
                         std::int64_t columns) {
#pragma omp simd
  for (std::int64_t c = 0; c < columns; ++c) {
    const Real<T> g = load(gate[c]), u = load(up[c]), d = load(d_out[c]);
    const Real<T> s = sigmoid(g);
    store(d_gate[c], d * u * s * (Real<T>(1) + g * (Real<T>(1) - s)));
    store(d_up[c], d * g * s);
  }
}

}  // namespace

void run(const Fill& op) {
  dispatch(op.out.dtype, [&](auto type) {
    using T = decltype(type);
    const auto value = static_cast<T>(static_cast<Real<T>>(op.value));
#pragma omp parallel for schedule(static)
    for (std::int64_t r = 0; r < op.out.rows; ++r) {
      T* out = row<T>(op.out, r);
      for (std::int64_t c = 0; c < op.out.columns; ++c) out[c] = value;
    }
  });
}

void run(const Convert& op) {
  dispatch(op.out.dtype, [&](auto to) {
    dispatch(op.x.dtype, [&](auto from) { convert_rows<decltype(to), decltype(from)>(op); });
  });
}

void run(const Add& op) {
  dispatch(op.out.dtype, [&](auto type) {
    using T = decltype(type);
#pragma omp parallel for schedule(static)
    for (std::int64_t r = 0; r < op.out.rows; ++r) {
      const T* a = row<T>(op.a, r);
      const T* b = row<T>(op.b, r);
      T* out = row<T>(op.out, r);
#pragma omp simd
      for (std::int64_t c = 0; c < op.out.columns; ++c) store(out[c], load(a[c]) + load(b[c]));
    }
  });
}

void run(const SwiGlu& op) {
  dispatch(op.out.dtype, [&](auto type) {
    using T = decltype(type);
#pragma omp parallel for schedule(static)
    for (std::int64_t r = 0; r < op.out.rows; ++r) {
      const T* gate = row<T>(op.gate, r);
      const T* up = row<T>(op.up, r);
      T* out = row<T>(op.out, r);
#pragma omp simd
      for (std::int64_t c = 0; c < op.out.columns; ++c) {
        const Real<T> g = load(gate[c]);
        store(out[c], g * sigmoid(g) * load(up[c]));
      }
    }
  });
}

void run(const SwiGluBackward& op) {
  dispatch(op.gate.dtype, [&](auto type) {
    using T = decltype(type);
#pragma omp parallel for schedule(static)
    for (std::int64_t r = 0; r < op.gate.rows; ++r) {
      swiglu_backward_row(row<T>(op.gate, r), row<T>(op.up, r), row<T>(op.d_out, r),
                          row<T>(op.d_gate, r), row<T>(op.d_up, r), op.gate.columns);
    }
  });
}

void run(const Gelu& op) {
  dispatch(op.x.dtype, [&](auto type) {
    using T = decltype(type);
#pragma omp parallel for schedule(static)
    for (std::int64_t r = 0; r < op.x.rows; ++r) {
      const T* x = row<T>(op.x, r);
      T* out = row<T>(op.out, r);
#pragma omp simd
      for (std::int64_t c = 0; c < op.x.columns; ++c) store(out[c], gelu(load(x[c])));
    }
  });
}

void run(const GeluBackward& op) {
  dispatch(op.x.dtype, [&](auto type) {
    using T = decltype(type);
#pragma omp parallel for schedule(static)
    for (std::int64_t r = 0; r < op.x.rows; ++r) {
      const T* x = row<T>(op.x, r);
      const T* d_out = row<T>(op.d_out, r);
      T* d_x = row<T>(op.d_x, r);
#pragma omp simd
      for (std::int64_t c = 0; c < op.x.columns; ++c) {
        store(d_x[c], load(d_out[c]) * gelu_slope(load(x[c])));
      }
    }
  });
}

void run(const Rope& op) {
  dispatch(op.x.dtype, [&](auto type) {
    using T = decltype(type);
    const std::int64_t half = op.head_dim / 2;
    const Real<T> direction = op.inverse ? Real<T>(-1) : Real<T>(1);
#pragma omp parallel for schedule(static)
    for (std::int64_t r = 0; r < op.x.rows; ++r) {
      const Real<T>* cos = row<Real<T>>(op.cos, r % op.sequence);
      const Real<T>* sin = row<Real<T>>(op.sin, r % op.sequence);
      for (T* head = row<T>(op.x, r); head != row<T>(op.x, r) + op.x.columns; head += op.head_dim) {
#pragma omp simd
        for (std::int64_t i = 0; i < half; ++i) {
          const Real<T> a = load(head[i]), b = load(head[i + half]);
          const Real<T> c = cos[i], s = direction * sin[i];
          store(head[i], a * c - b * s);
          store(head[i + half], b * c + a * s);
        }
      }
    }
  });
}

}  // namespace trireme::kernels::VECTOR_NAMESPACE
