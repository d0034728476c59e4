#include <type_traits>

#include "kernels/cuda/device_numbers.cuh"
#include "kernels/cuda/operations.h"

namespace trireme::kernels {
namespace {

constexpr float kRootTwoOverPi = 0.7978845608f;
constexpr float kCubic = 0.044715f;

__device__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// Off by some 1e-7, also where it is small, which GELU adds to 1; tanhf takes more instructions
// than there is time for while memory is read.
__device__ float hyperbolic_tangent(float x) {
  return 1.0f - __fdividef(2.0f, 1.0f + expf(2.0f * x));
}

template <class T>
struct Constant {
  Rows<T> out;
  float value;

  template <int n>
  __device__ void run(std::int64_t r, std::int64_t c) const {
    Numbers<n> numbers;
    for (int i = 0; i < n; ++i) numbers[i] = value;
    write<n>(out[r] + c, numbers);
  }
};

template <class T>
void fill(cudaStream_t stream, const Fill& op) {
  each_pack<T>(stream, {op.out}, Constant<T>{rows_of<T>(op.out), static_cast<float>(op.value)});
}

template <class To, class From>
struct Converted {
  Rows<From> x;
  Rows<To> out;

  template <int n>
  __device__ void run(std::int64_t r, std::int64_t c) const {
    write<n>(out[r] + c, read<n>(x[r] + c));
  }
};

template <class To, class From>
void convert(cudaStream_t stream, const Convert& op) {
  using Wider = std::conditional_t<(sizeof(To) > sizeof(From)), To, From>;
  each_pack<Wider>(stream, {op.x, op.out},
                   Converted<To, From>{rows_of<From>(op.x), rows_of<To>(op.out)});
}

// Not by way of fp32.
void copy_f64(cudaStream_t stream, const Convert& op) {
  const auto x = rows_of<double>(op.x);
  const auto out = rows_of<double>(op.out);
  each_element(stream, op.x.shape(),
               [=] __device__(std::int64_t r, std::int64_t c) { out[r][c] = x[r][c]; });
}

template <class T>
struct Sum {
  Rows<T> a, b, out;

  template <int n>
  __device__ void run(std::int64_t r, std::int64_t c) const {
    auto x = read<n>(a[r] + c);
    const auto y = read<n>(b[r] + c);
    for (int i = 0; i < n; ++i) x[i] += y[i];
    write<n>(out[r] + c, x);
  }
};

template <class T>
struct Gate {
  Rows<T> gate, up, out;

  template <int n>
  __device__ void run(std::int64_t r, std::int64_t c) const {
    const auto g = read<n>(gate[r] + c), u = read<n>(up[r] + c);
    Numbers<n> result;
    for (int i = 0; i < n; ++i) result[i] = g[i] * sigmoid(g[i]) * u[i];
    write<n>(out[r] + c, result);
  }
};

template <class T>
struct GateGradient {
  Rows<T> gate, up, d_out, d_gate, d_up;

  template <int n>
  __device__ void run(std::int64_t r, std::int64_t c) const {
    const auto g = read<n>(gate[r] + c), u = read<n>(up[r] + c), d = read<n>(d_out[r] + c);
    Numbers<n> of_gate, of_up;
    for (int i = 0; i < n; ++i) {
      const float s = sigmoid(g[i]);
      of_gate[i] = d[i] * u[i] * s * (1.0f + g[i] * (1.0f - s));
      of_up[i] = d[i] * g[i] * s;
    }
    write<n>(d_gate[r] + c, of_gate);
    write<n>(d_up[r] + c, of_up);
  }
};

template <class T>
struct Curve {
  Rows<T> x, out;

  template <int n>
  __device__ void run(std::int64_t r, std::int64_t c) const {
    auto v = read<n>(x[r] + c);
    for (int i = 0; i < n; ++i) {
      v[i] = 0.5f * v[i] *
             (1.0f + hyperbolic_tangent(kRootTwoOverPi * (v[i] + kCubic * v[i] * v[i] * v[i])));
    }
    write<n>(out[r] + c, v);
  }
};

template <class T>
struct CurveGradient {
  Rows<T> x, d_out, d_x;

  template <int n>
  __device__ void run(std::int64_t r, std::int64_t c) const {
    const auto v = read<n>(x[r] + c);
    auto d = read<n>(d_out[r] + c);
    for (int i = 0; i < n; ++i) {
      const float t = hyperbolic_tangent(kRootTwoOverPi * (v[i] + kCubic * v[i] * v[i] * v[i]));
      const float slope = kRootTwoOverPi * (1.0f + 3.0f * kCubic * v[i] * v[i]);
      d[i] *= 0.5f * (1.0f + t) + 0.5f * v[i] * (1.0f - t * t) * slope;
    }
    write<n>(d_x[r] + c, d);
  }
};

// Turns numbers of the first half of a head, and those as far into the second half.
template <class T>
struct Turn {
  Rows<T> x;
  Rows<float> cos, sin;
  unsigned half, sequence;
  float direction;

  template <int n>
  __device__ void run(std::int64_t r, std::int64_t c) const {
    const unsigned i = static_cast<unsigned>(c) % half;
    const std::int64_t token = static_cast<unsigned>(r) % sequence;
    T* head = x[r] + (c - i) * 2;
    auto a = read<n>(head + i), b = read<n>(head + half + i);
    const auto cosine = read<n>(cos[token] + i), sine = read<n>(sin[token] + i);
    for (int k = 0; k < n; ++k) {
      const float s = direction * sine[k], first = a[k];
      a[k] = first * cosine[k] - b[k] * s;
      b[k] = b[k] * cosine[k] + first * s;
    }
    write<n>(head + i, a);
    write<n>(head + half + i, b);
  }
};

template <class T>
void rope(cudaStream_t stream, const Rope& op) {
  // As many columns as there are pairs.
  View pairs = op.x, cos = op.cos, sin = op.sin;
  for (View* view : {&pairs, &cos, &sin}) view->columns = op.head_dim / 2;
  const Turn<T> turn{rows_of<T>(op.x),
                     rows_of<float>(op.cos),
                     rows_of<float>(op.sin),
                     static_cast<unsigned>(op.head_dim / 2),
                     static_cast<unsigned>(op.sequence),
                     op.inverse ? -1.0f : 1.0f};
  each_pack_of<T>(stream, {op.x.rows, op.x.columns / 2},
                  in_packs<T>({pairs}) && in_packs<T>({cos, sin}), turn);
}

}  // namespace

void launch(cudaStream_t stream, const Fill& op) {
  if (op.out.dtype == Dtype::f64) return fill<double>(stream, op);
  dispatch(op.out.dtype, [&]<class T>() { fill<T>(stream, op); });
}

void launch(cudaStream_t stream, const Convert& op) {
  if (op.x.dtype == Dtype::f64 && op.out.dtype == Dtype::f64) return copy_f64(stream, op);
  const auto to = [&]<class To>() {
    if (op.x.dtype == Dtype::f64) return convert<To, double>(stream, op);
    dispatch(op.x.dtype, [&]<class From>() { convert<To, From>(stream, op); });
  };
  if (op.out.dtype == Dtype::f64) return to.template operator()<double>();
  dispatch(op.out.dtype, to);
}

void launch(cudaStream_t stream, const Add& op) {
  dispatch(op.out.dtype, [&]<class T>() {
    each_pack<T>(stream, {op.out, op.a, op.b},
                 Sum<T>{rows_of<T>(op.a), rows_of<T>(op.b), rows_of<T>(op.out)});
  });
}

void launch(cudaStream_t stream, const SwiGlu& op) {
  dispatch(op.out.dtype, [&]<class T>() {
    each_pack<T>(stream, {op.out, op.gate, op.up},
                 Gate<T>{rows_of<T>(op.gate), rows_of<T>(op.up), rows_of<T>(op.out)});
  });
}

void launch(cudaStream_t stream, const SwiGluBackward& op) {
  dispatch(op.gate.dtype, [&]<class T>() {
    each_pack<T>(stream, {op.gate, op.up, op.d_out, op.d_gate, op.d_up},
                 GateGradient<T>{rows_of<T>(op.gate), rows_of<T>(op.up), rows_of<T>(op.d_out),
                                 rows_of<T>(op.d_gate), rows_of<T>(op.d_up)});
  });
}

void launch(cudaStream_t stream, const Gelu& op) {
  dispatch(op.x.dtype, [&]<class T>() {
    each_pack<T>(stream, {op.out, op.x}, Curve<T>{rows_of<T>(op.x), rows_of<T>(op.out)});
  });
}

void launch(cudaStream_t stream, const GeluBackward& op) {
  dispatch(op.x.dtype, [&]<class T>() {
    each_pack<T>(stream, {op.x, op.d_out, op.d_x},
                 CurveGradient<T>{rows_of<T>(op.x), rows_of<T>(op.d_out), rows_of<T>(op.d_x)});
  });
}

void launch(cudaStream_t stream, const Rope& op) {
  dispatch(op.x.dtype, [&]<class T>() { rope<T>(stream, op); });
}

}  // namespace trireme::kernels
