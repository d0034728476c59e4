#include "kernels/cuda/device_numbers.cuh"
#include "kernels/cuda/operations.h"

namespace trireme::kernels {
namespace {

constexpr float kRootTwoOverPi = 0.7978845608f;
constexpr float kCubic = 0.044715f;

__device__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

template <class T>
void fill(cudaStream_t stream, const Fill& op) {
  const auto out = rows_of<T>(op.out);
  const auto value = static_cast<float>(op.value);
  each_element(stream, op.out.shape(),
               [=] __device__(std::int64_t r, std::int64_t c) { store(out[r][c], value); });
}

template <class To, class From>
void convert(cudaStream_t stream, const Convert& op) {
  const auto x = rows_of<From>(op.x);
  const auto out = rows_of<To>(op.out);
  each_element(stream, op.x.shape(),
               [=] __device__(std::int64_t r, std::int64_t c) { store(out[r][c], load(x[r][c])); });
}

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
      v[i] = 0.5f * v[i] * (1.0f + tanhf(kRootTwoOverPi * (v[i] + kCubic * v[i] * v[i] * v[i])));
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
      const float t = tanhf(kRootTwoOverPi * (v[i] + kCubic * v[i] * v[i] * v[i]));
      const float slope = kRootTwoOverPi * (1.0f + 3.0f * kCubic * v[i] * v[i]);
      d[i] *= 0.5f * (1.0f + t) + 0.5f * v[i] * (1.0f - t * t) * slope;
    }
    write<n>(d_x[r] + c, d);
  }
};

template <class T>
void rope(cudaStream_t stream, const Rope& op) {
  const auto x = rows_of<T>(op.x);
  const auto cos = rows_of<float>(op.cos), sin = rows_of<float>(op.sin);
  const std::int64_t half = op.head_dim / 2, sequence = op.sequence;
  const float direction = op.inverse ? -1.0f : 1.0f;
  each_element(stream, {op.x.rows, op.x.columns / 2},
               [=] __device__(std::int64_t r, std::int64_t pair) {
                 const std::int64_t i = pair % half;
                 T* head = x[r] + pair / half * 2 * half;
                 const float a = load(head[i]), b = load(head[i + half]);
                 const float c = cos[r % sequence][i], s = direction * sin[r % sequence][i];
                 store(head[i], a * c - b * s);
                 store(head[i + half], b * c + a * s);
               });
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
