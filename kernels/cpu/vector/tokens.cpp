#include "kernels/cpu/vector/numbers.h"
#include "kernels/cpu/vector/operations.h"

namespace trireme::kernels::VECTOR_NAMESPACE {
namespace {

constexpr std::int64_t kColumnBlock = 64;

std::int32_t id_at(const View& ids, std::int64_t token) {
  return static_cast<const std::int32_t*>(ids.data)[token];
}

// The row of a table that starts at `first_id`, or -1 if it is not there.
std::int64_t row_of(std::int32_t id, std::int64_t first_id, std::int64_t rows) {
  const std::int64_t index = id - first_id;
  return index >= 0 && index < rows ? index : -1;
}

template <class T>
void add_columns(const EmbeddingBackward& op, std::int64_t first, std::int64_t end) {
  for (std::int64_t t = 0; t < op.d_out.rows; ++t) {
    const T* d_out = row<T>(op.d_out, t);
    const std::int64_t index = row_of(id_at(op.ids, t), op.first_id, op.d_table.rows);
    if (index >= 0) {
      Real<T>* d_table = row<Real<T>>(op.d_table, index);
#pragma omp simd
      for (std::int64_t c = first; c < end; ++c) d_table[c] += load(d_out[c]);
    }
    if (op.d_positions) {
      Real<T>* d_position = row<Real<T>>(op.d_positions, t % op.sequence);
#pragma omp simd
      for (std::int64_t c = first; c < end; ++c) d_position[c] += load(d_out[c]);
    }
  }
}

}  // namespace

void run(const Embedding& op) {
  dispatch(op.out.dtype, [&](auto type) {
    using T = decltype(type);
#pragma omp parallel for schedule(static)
    for (std::int64_t t = 0; t < op.out.rows; ++t) {
      T* out = row<T>(op.out, t);
      const std::int64_t index = row_of(id_at(op.ids, t), op.first_id, op.table.rows);
      const T* entry = index >= 0 ? row<T>(op.table, index) : nullptr;
      const T* position = op.positions ? row<T>(op.positions, t % op.sequence) : nullptr;
      for (std::int64_t c = 0; c < op.out.columns; ++c) {
        Real<T> value = entry ? load(entry[c]) : Real<T>(0);
        if (position) value += load(position[c]);
        store(out[c], value);
      }
    }
  });
}

void run(const EmbeddingBackward& op) {
  dispatch(op.d_out.dtype, [&](auto type) {
    using T = decltype(type);
    const std::int64_t columns = op.d_out.columns;
#pragma omp parallel for schedule(static)
    for (std::int64_t first = 0; first < columns; first += kColumnBlock) {
      add_columns<T>(op, first, first + kColumnBlock < columns ? first + kColumnBlock : columns);
    }
  });
}

void run(const CrossEntropyStatistics& op) {
  dispatch(op.logits.dtype, [&](auto type) {
    using T = decltype(type);
    using Number = Real<T>;
#pragma omp parallel for schedule(static)
    for (std::int64_t t = 0; t < op.logits.rows; ++t) {
      const T* logits = row<T>(op.logits, t);
      Number maximum = load(logits[0]);
#pragma omp simd reduction(max : maximum)
      for (std::int64_t c = 1; c < op.logits.columns; ++c) {
        const Number logit = load(logits[c]);
        maximum = logit > maximum ? logit : maximum;
      }
      Number sum = 0;
#pragma omp simd reduction(+ : sum)
      for (std::int64_t c = 0; c < op.logits.columns; ++c)
        sum += exponential(load(logits[c]) - maximum);
      const std::int64_t target = row_of(id_at(op.targets, t), op.first_id, op.logits.columns);
      row<Number>(op.maximum, t)[0] = maximum;
      row<Number>(op.sum_exp, t)[0] = sum;
      row<Number>(op.target_logit, t)[0] = target >= 0 ? load(logits[target]) : Number(0);
    }
  });
}

void run(const MergeStatistics& op) {
  dispatch(op.parts.dtype, [&](auto type) {
    using Number = Real<decltype(type)>;
    const std::int64_t tokens = op.maximum.rows;
#pragma omp parallel for schedule(static)
    for (std::int64_t t = 0; t < tokens; ++t) {
      Number maximum = row<Number>(op.parts, 0)[t];
      for (std::int64_t r = 1; r < op.parts.rows; ++r) {
        const Number other = row<Number>(op.parts, r)[t];
        maximum = other > maximum ? other : maximum;
      }
      Number sum = 0, target_logit = 0;
      for (std::int64_t r = 0; r < op.parts.rows; ++r) {
        const Number* part = row<Number>(op.parts, r);
        sum += part[tokens + t] * exponential(part[t] - maximum);
        target_logit += part[2 * tokens + t];
      }
      row<Number>(op.maximum, t)[0] = maximum;
      row<Number>(op.sum_exp, t)[0] = sum;
      row<Number>(op.target_logit, t)[0] = target_logit;
    }
  });
}

void run(const CrossEntropy& op) {
  dispatch(op.logits.dtype, [&](auto type) {
    using T = decltype(type);
    using Number = Real<T>;
    const Scratch<double> losses(op.logits.rows);
#pragma omp parallel for schedule(static)
    for (std::int64_t t = 0; t < op.logits.rows; ++t) {
      T* logits = row<T>(op.logits, t);
      const bool counts = id_at(op.targets, t) >= 0;
      const Number maximum = row<Number>(op.maximum, t)[0];
      const Number sum = row<Number>(op.sum_exp, t)[0];
      const Number target_logit = row<Number>(op.target_logit, t)[0];
      losses[t] = counts ? std::log(static_cast<double>(sum)) +
                               (static_cast<double>(maximum) - static_cast<double>(target_logit))
                         : 0.0;
      if (!op.with_gradient) continue;
      const Number scale = counts ? static_cast<Number>(op.gradient_scale) : Number(0);
      const std::int64_t target = row_of(id_at(op.targets, t), op.first_id, op.logits.columns);
      const Number own = target >= 0 ? load(logits[target]) : Number(0);
      const Number factor = scale / sum;
#pragma omp simd
      for (std::int64_t c = 0; c < op.logits.columns; ++c) {
        store(logits[c], exponential(load(logits[c]) - maximum) * factor);
      }
      if (target >= 0)
        store(logits[target], (exponential(own - maximum) / sum - Number(1)) * scale);
    }
    double total = 0;
    for (std::int64_t t = 0; t < op.logits.rows; ++t) total += losses[t];
    row<double>(op.loss, 0)[0] += total;
  });
}

}  // namespace trireme::kernels::VECTOR_NAMESPACE
