#include "kernels/cpu/vector/numbers.h"
#include "kernels/cpu/vector/operations.h"

namespace trireme::kernels::VECTOR_NAMESPACE {
namespace {

constexpr std::int64_t kBlock = 8192;

template <class T>
double squares_of(const T* x, std::int64_t count) {
  double total = 0;
#pragma omp simd reduction(+ : total)
  for (std::int64_t i = 0; i < count; ++i) {
    const auto value = static_cast<double>(load(x[i]));
    total += value * value;
  }
  return total;
}

// What every element of one AdamW step shares.
template <class Number>
struct Constants {
  Number scale, beta1, beta2, step_size, epsilon, inv_root_correction2, keep;
};

template <class Number>
Constants<Number> constants_of(const AdamW& op) {
  const double correction1 = 1 - std::pow(op.beta1, static_cast<double>(op.step));
  const double correction2 = 1 - std::pow(op.beta2, static_cast<double>(op.step));
  return {.scale = static_cast<Number>(op.gradient_scale),
          .beta1 = static_cast<Number>(op.beta1),
          .beta2 = static_cast<Number>(op.beta2),
          .step_size = static_cast<Number>(op.learning_rate / correction1),
          .epsilon = static_cast<Number>(op.epsilon),
          .inv_root_correction2 = static_cast<Number>(1 / std::sqrt(correction2)),
          .keep = static_cast<Number>(1 - op.learning_rate * op.weight_decay)};
}

template <class Number>
void update_block(const AdamW& op, const Constants<Number>& k, std::int64_t first,
                  std::int64_t end) {
  Number* master = row<Number>(op.master, 0);
  Number* first_moment = row<Number>(op.first_moment, 0);
  Number* second_moment = row<Number>(op.second_moment, 0);
  const Number* gradient = row<Number>(op.gradient, 0);
#pragma omp simd
  for (std::int64_t i = first; i < end; ++i) {
    const Number g = gradient[i] * k.scale;
    const Number m = k.beta1 * first_moment[i] + (Number(1) - k.beta1) * g;
    const Number v = k.beta2 * second_moment[i] + (Number(1) - k.beta2) * g * g;
    first_moment[i] = m;
    second_moment[i] = v;
    master[i] =
        k.keep * master[i] - k.step_size * m / (std::sqrt(v) * k.inv_root_correction2 + k.epsilon);
  }
}

template <class Number>
void store_parameters(const AdamW& op, std::int64_t first, std::int64_t end) {
  if (!op.parameter) return;
  const Number* master = row<Number>(op.master, 0);
  dispatch(op.parameter.dtype, [&](auto type) {
    using T = decltype(type);
    T* parameter = row<T>(op.parameter, 0);
#pragma omp simd
    for (std::int64_t i = first; i < end; ++i) {
      store(parameter[i], static_cast<Real<T>>(master[i]));
    }
  });
}

}  // namespace

void run(const SquaredNorm& op) {
  dispatch(op.x.dtype, [&](auto type) {
    using T = decltype(type);
    const std::int64_t per_row = (op.x.columns + kBlock - 1) / kBlock;
    const std::int64_t blocks = op.x.rows * per_row;
    const Scratch<double> parts(blocks);
#pragma omp parallel for schedule(static)
    for (std::int64_t b = 0; b < blocks; ++b) {
      const std::int64_t first = b % per_row * kBlock;
      const std::int64_t count = op.x.columns - first < kBlock ? op.x.columns - first : kBlock;
      parts[b] = squares_of(row<T>(op.x, b / per_row) + first, count);
    }
    double total = 0;
    for (std::int64_t b = 0; b < blocks; ++b) total += parts[b];
    row<double>(op.out, 0)[0] += total;
  });
}

void run(const AdamW& op) {
  dispatch(op.master.dtype, [&](auto type) {
    using Number = Real<decltype(type)>;
    const auto constants = constants_of<Number>(op);
    const std::int64_t count = op.master.columns;
#pragma omp parallel for schedule(static)
    for (std::int64_t first = 0; first < count; first += kBlock) {
      const std::int64_t end = first + kBlock < count ? first + kBlock : count;
      update_block(op, constants, first, end);
      store_parameters<Number>(op, first, end);
    }
  });
}

}  // namespace trireme::kernels::VECTOR_NAMESPACE
