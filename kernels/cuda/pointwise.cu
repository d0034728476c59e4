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
void add(cudaStream_t stream, const Add& op) {
  const auto a = rows_of<T>(op.a), b = rows_of<T>(op.b), out = rows_of<T>(op.out);
  each_element(stream, op.out.shape(), [=] __device__(std::int64_t r, std::int64_t c) {
    store(out[r][c], load(a[r][c]) + load(b[r][c]));
  });
}

template <class T>
void swiglu(cudaStream_t stream, const SwiGlu& op) {
  const auto gate = rows_of<T>(op.gate), up = rows_of<T>(op.up), out = rows_of<T>(op.out);
  each_element(stream, op.out.shape(), [=] __device__(std::int64_t r, std::int64_t c) {
    const float g = load(gate[r][c]);
    store(out[r][c], g * sigmoid(g) * load(up[r][c]));
  });
}

template <class T>
void swiglu_backward(cudaStream_t stream, const SwiGluBackward& op) {
  const auto gate = rows_of<T>(op.gate), up = rows_of<T>(op.up), d_out = rows_of<T>(op.d_out);
  const auto d_gate = rows_of<T>(op.d_gate), d_up = rows_of<T>(op.d_up);
  each_element(stream, op.gate.shape(), [=] __device__(std::int64_t r, std::int64_t c) {
    const float g = load(gate[r][c]), u = load(up[r][c]), d = load(d_out[r][c]), s = sigmoid(g);
    store(d_gate[r][c], d * u * s * (1.0f + g * (1.0f - s)));
    store(d_up[r][c], d * g * s);
  });
}

template <class T>
void gelu(cudaStream_t stream, const Gelu& op) {
  const auto x = rows_of<T>(op.x), out = rows_of<T>(op.out);
  each_element(stream, op.x.shape(), [=] __device__(std::int64_t r, std::int64_t c) {
    const float v = load(x[r][c]);
    store(out[r][c], 0.5f * v * (1.0f + tanhf(kRootTwoOverPi * (v + kCubic * v * v * v))));
  });
}

template <class T>
void gelu_backward(cudaStream_t stream, const GeluBackward& op) {
  const auto x = rows_of<T>(op.x), d_out = rows_of<T>(op.d_out), d_x = rows_of<T>(op.d_x);
  each_element(stream, op.x.shape(), [=] __device__(std::int64_t r, std::int64_t c) {
    const float v = load(x[r][c]);
    const float t = tanhf(kRootTwoOverPi * (v + kCubic * v * v * v));
    const float slope = kRootTwoOverPi * (1.0f + 3.0f * kCubic * v * v);
    store(d_x[r][c], load(d_out[r][c]) * (0.5f * (1.0f + t) + 0.5f * v * (1.0f - t * t) * slope));
  });
}

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
  dispatch(op.out.dtype, [&]<class T>() { add<T>(stream, op); });
}

void launch(cudaStream_t stream, const SwiGlu& op) {
  dispatch(op.out.dtype, [&]<class T>() { swiglu<T>(stream, op); });
}

void launch(cudaStream_t stream, const SwiGluBackward& op) {
  dispatch(op.gate.dtype, [&]<class T>() { swiglu_backward<T>(stream, op); });
}

void launch(cudaStream_t stream, const Gelu& op) {
  dispatch(op.x.dtype, [&]<class T>() { gelu<T>(stream, op); });
}

void launch(cudaStream_t stream, const GeluBackward& op) {
  dispatch(op.x.dtype, [&]<class T>() { gelu_backward<T>(stream, op); });
}

void launch(cudaStream_t stream, const Rope& op) {
  dispatch(op.x.dtype, [&]<class T>() { rope<T>(stream, op); });
}

}  // namespace trireme::kernels
