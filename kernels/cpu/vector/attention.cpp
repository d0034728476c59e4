#include <limits>

#include "kernels/cpu/region_failure.h"
#include "kernels/cpu/vector/block_multiply.h"
#include "kernels/cpu/vector/numbers.h"
#include "kernels/cpu/vector/operations.h"

namespace trireme::kernels::VECTOR_NAMESPACE {
namespace {

// Queries and keys are worked on in blocks of this many positions, so that everything an inner
// product touches stays in the first two caches.
constexpr std::int64_t kBlock = 64;

// Forward work is handed out in strips of this many queries: each packs its keys once.
constexpr std::int64_t kStrip = 256;

std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

// Head sizes are padded to whole vectors; the padding is zero.
template <class Number>
std::int64_t padded(std::int64_t head_dim) {
  return (head_dim + kLanes<Number> - 1) / kLanes<Number> * kLanes<Number>;
}

// Rows [first, first + count) of one head, as (count, padded head_dim).
template <class T>
void copy_head(const View& from, std::int64_t first, std::int64_t count, std::int64_t column,
               std::int64_t head_dim, Real<T>* out) {
  const std::int64_t width = padded<Real<T>>(head_dim);
  for (std::int64_t r = 0; r < count; ++r) {
    const T* source = row<T>(from, first + r) + column;
    for (std::int64_t c = 0; c < head_dim; ++c) out[r * width + c] = load(source[c]);
    for (std::int64_t c = head_dim; c < width; ++c) out[r * width + c] = 0;
  }
}

// The same transposed, in blocks of kBlock positions: block b is (head_dim, kBlock) from
// out + b * head_dim * kBlock. Positions past `count` are zero.
template <class T>
void copy_head_transposed(const View& from, std::int64_t first, std::int64_t count,
                          std::int64_t column, std::int64_t head_dim, Real<T>* out) {
  for (std::int64_t begin = 0; begin < count; begin += kBlock) {
    Real<T>* block = out + begin * head_dim;
    for (std::int64_t j = 0; j < kBlock; ++j) {
      const bool exists = begin + j < count;
      const T* source = exists ? row<T>(from, first + begin + j) + column : nullptr;
      for (std::int64_t c = 0; c < head_dim; ++c) {
        block[c * kBlock + j] = exists ? load(source[c]) : Real<T>(0);
      }
    }
  }
}

template <class T>
void write_head(const Real<T>* from, const View& to, std::int64_t first, std::int64_t count,
                std::int64_t column, std::int64_t head_dim) {
  const std::int64_t width = padded<Real<T>>(head_dim);
  for (std::int64_t r = 0; r < count; ++r) {
    T* target = row<T>(to, first + r) + column;
    for (std::int64_t c = 0; c < head_dim; ++c) store(target[c], from[r * width + c]);
  }
}

// Keys that query `q` of a block sees in the block of keys that starts `offset` after the queries.
std::int64_t seen(std::int64_t query, std::int64_t offset) {
  const std::int64_t count = query - offset + 1;
  return count < 0 ? 0 : smaller(count, kBlock);
}

// Of log_sum_exp, for the sequence that begins at token `first`.
std::int64_t statistics_row(const AttentionShape& shape, std::int64_t first, std::int64_t head) {
  return first / shape.sequence * shape.heads + head;
}

// Running softmax of one query: keeps the output so far scaled to the largest score so far.
template <class Number>
void fold_scores(Number* scores, std::int64_t count, Number scale, Number& maximum, Number& sum,
                 Number* out, std::int64_t width) {
  Number highest = maximum;
#pragma omp simd reduction(max : highest)
  for (std::int64_t j = 0; j < count; ++j) {
    const Number score = scores[j] * scale;
    highest = score > highest ? score : highest;
  }
  Number added = 0;
#pragma omp simd reduction(+ : added)
  for (std::int64_t j = 0; j < count; ++j) {
    scores[j] = exponential(scores[j] * scale - highest);
    added += scores[j];
  }
  for (std::int64_t j = count; j < kBlock; ++j) scores[j] = 0;
  const Number fade = exponential(maximum - highest);
  sum = sum * fade + added;
  if (maximum != highest) {
#pragma omp simd
    for (std::int64_t c = 0; c < width; ++c) out[c] *= fade;
  }
  maximum = highest;
}

template <class T>
class ForwardStrip {
  using Number = Real<T>;

 public:
  // Queries [begin, end) of a sequence that starts at token `first`, for the heads that read
  // key and value head `kv_head`.
  ForwardStrip(const Attention& op, std::int64_t first, std::int64_t kv_head, std::int64_t begin,
               std::int64_t end)
      : op_(op),
        first_(first),
        begin_(begin),
        end_(end),
        head_dim_(op.shape.head_dim),
        width_(padded<Number>(head_dim_)),
        keys_((end + kBlock) * head_dim_),
        values_(end * width_) {
    copy_head_transposed<T>(op.k, first, end, kv_head * head_dim_, head_dim_, keys_.data());
    copy_head<T>(op.v, first, end, kv_head * head_dim_, head_dim_, values_.data());
    const std::int64_t group = op.shape.heads / op.shape.kv_heads;
    for (std::int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      for (std::int64_t q = begin_; q < end_; q += kBlock)
        attend(head, q, smaller(kBlock, end_ - q));
    }
  }

 private:
  void attend(std::int64_t head, std::int64_t q, std::int64_t count) {
    copy_head<T>(op_.q, first_ + q, count, head * head_dim_, head_dim_, query_.data());
    for (std::int64_t i = 0; i < count; ++i) {
      maximum_[i] = -std::numeric_limits<Number>::max();
      sum_[i] = 0;
    }
    for (std::int64_t i = 0; i < count * width_; ++i) out_[i] = 0;
    for (std::int64_t key = 0; key < q + count; key += kBlock) {
      const std::int64_t keys = smaller(kBlock, end_ - key);
      multiply_block<Number>({query_.data(), width_, 1}, keys_.data() + key * head_dim_, kBlock,
                             scores_.data(), kBlock, {count, kBlock}, head_dim_, false);
      for (std::int64_t i = 0; i < count; ++i) {
        fold_scores(scores_.data() + i * kBlock, smaller(seen(i, key - q), keys),
                    static_cast<Number>(op_.scale), maximum_[i], sum_[i], out_.data() + i * width_,
                    width_);
      }
      multiply_block<Number>({scores_.data(), kBlock, 1}, values_.data() + key * width_, width_,
                             out_.data(), width_, {count, width_}, keys, true);
    }
    Number* log_sum_exp = row<Number>(op_.log_sum_exp, statistics_row(op_.shape, first_, head));
    for (std::int64_t i = 0; i < count; ++i) {
      const Number share = Number(1) / sum_[i];
      Number* out = out_.data() + i * width_;
#pragma omp simd
      for (std::int64_t c = 0; c < width_; ++c) out[c] *= share;
      log_sum_exp[q + i] = maximum_[i] + std::log(sum_[i]);
    }
    write_head<T>(out_.data(), op_.out, first_ + q, count, head * head_dim_, head_dim_);
  }

  const Attention& op_;
  const std::int64_t first_, begin_, end_, head_dim_, width_;
  const Scratch<Number> keys_, values_;
  const Scratch<Number> query_{kBlock * width_}, out_{kBlock * width_};
  const Scratch<Number> scores_{kBlock * kBlock}, maximum_{kBlock}, sum_{kBlock};
};

// Gradients of one sequence through one key and value head and the query heads that read it.
template <class T>
class BackwardHead {
  using Number = Real<T>;

 public:
  BackwardHead(const AttentionBackward& op, std::int64_t first, std::int64_t kv_head)
      : op_(op),
        first_(first),
        length_(op.shape.sequence),
        head_dim_(op.shape.head_dim),
        width_(padded<Number>(head_dim_)),
        column_(kv_head * head_dim_) {
    copy_head_transposed<T>(op.k, first, length_, column_, head_dim_, keys_transposed_.data());
    copy_head_transposed<T>(op.v, first, length_, column_, head_dim_, values_transposed_.data());
    copy_head<T>(op.k, first, length_, column_, head_dim_, keys_.data());
    for (std::int64_t i = 0; i < length_ * width_; ++i) d_keys_[i] = d_values_[i] = 0;
    const std::int64_t group = op.shape.heads / op.shape.kv_heads;
    for (std::int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      for (std::int64_t q = 0; q < length_; q += kBlock)
        go_back(head, q, smaller(kBlock, length_ - q));
    }
    write_head<T>(d_keys_.data(), op.d_k, first, length_, column_, head_dim_);
    write_head<T>(d_values_.data(), op.d_v, first, length_, column_, head_dim_);
  }

 private:
  void go_back(std::int64_t head, std::int64_t q, std::int64_t count) {
    const std::int64_t column = head * head_dim_;
    copy_head<T>(op_.q, first_ + q, count, column, head_dim_, query_.data());
    copy_head<T>(op_.d_out, first_ + q, count, column, head_dim_, d_out_.data());
    const Number* log_sum_exp =
        row<Number>(op_.log_sum_exp, statistics_row(op_.shape, first_, head));
    for (std::int64_t i = 0; i < count; ++i) {
      const T* out = row<T>(op_.out, first_ + q + i) + column;
      Number dot = 0;
#pragma omp simd reduction(+ : dot)
      for (std::int64_t c = 0; c < head_dim_; ++c) dot += load(out[c]) * d_out_[i * width_ + c];
      out_dot_[i] = dot;
      log_sum_exp_[i] = log_sum_exp[q + i];
    }
    for (std::int64_t i = 0; i < count * width_; ++i) d_query_[i] = 0;
    for (std::int64_t key = 0; key < q + count; key += kBlock) add_block(q, count, key);
    write_head<T>(d_query_.data(), op_.d_q, first_ + q, count, column, head_dim_);
  }

  // The block of `count` queries from `q` against the block of keys from `key`.
  void add_block(std::int64_t q, std::int64_t count, std::int64_t key) {
    const std::int64_t keys = smaller(kBlock, length_ - key);
    multiply_block<Number>({query_.data(), width_, 1}, keys_transposed_.data() + key * head_dim_,
                           kBlock, weights_.data(), kBlock, {count, kBlock}, head_dim_, false);
    multiply_block<Number>({d_out_.data(), width_, 1}, values_transposed_.data() + key * head_dim_,
                           kBlock, d_scores_.data(), kBlock, {count, kBlock}, head_dim_, false);
    const auto scale = static_cast<Number>(op_.scale);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t visible = smaller(seen(i, key - q), keys);
      Number* weights = weights_.data() + i * kBlock;
      Number* d_scores = d_scores_.data() + i * kBlock;
      const Number log_sum_exp = log_sum_exp_[i], out_dot = out_dot_[i];
#pragma omp simd
      for (std::int64_t j = 0; j < visible; ++j) {
        weights[j] = exponential(weights[j] * scale - log_sum_exp);
        d_scores[j] = weights[j] * (d_scores[j] - out_dot) * scale;
      }
      for (std::int64_t j = visible; j < kBlock; ++j) weights[j] = d_scores[j] = 0;
    }
    multiply_block<Number>({weights_.data(), 1, kBlock}, d_out_.data(), width_,
                           d_values_.data() + key * width_, width_, {keys, width_}, count, true);
    multiply_block<Number>({d_scores_.data(), 1, kBlock}, query_.data(), width_,
                           d_keys_.data() + key * width_, width_, {keys, width_}, count, true);
    multiply_block<Number>({d_scores_.data(), kBlock, 1}, keys_.data() + key * width_, width_,
                           d_query_.data(), width_, {count, width_}, keys, true);
  }

  const AttentionBackward& op_;
  const std::int64_t first_, length_, head_dim_, width_, column_;
  const Scratch<Number> keys_{length_ * width_}, d_keys_{length_ * width_},
      d_values_{length_ * width_};
  const Scratch<Number> keys_transposed_{(length_ + kBlock) * head_dim_};
  const Scratch<Number> values_transposed_{(length_ + kBlock) * head_dim_};
  const Scratch<Number> query_{kBlock * width_}, d_out_{kBlock * width_}, d_query_{kBlock * width_};
  const Scratch<Number> weights_{kBlock * kBlock}, d_scores_{kBlock * kBlock};
  const Scratch<Number> out_dot_{kBlock}, log_sum_exp_{kBlock};
};

}  // namespace

void run(const Attention& op) {
  dispatch(op.q.dtype, [&](auto type) {
    using T = decltype(type);
    const std::int64_t strips = (op.shape.sequence + kStrip - 1) / kStrip;
    const std::int64_t sequences = op.q.rows / op.shape.sequence;
    const std::int64_t tasks = sequences * op.shape.kv_heads * strips;
    RegionFailure failure;
#pragma omp parallel for schedule(dynamic)
    for (std::int64_t task = 0; task < tasks; ++task) {
      // The longest strips first, so that no thread is left with one at the end.
      const std::int64_t begin = (strips - 1 - task / (sequences * op.shape.kv_heads)) * kStrip;
      const std::int64_t sequence = task / op.shape.kv_heads % sequences;
      try {
        ForwardStrip<T>(op, sequence * op.shape.sequence, task % op.shape.kv_heads, begin,
                        smaller(begin + kStrip, op.shape.sequence));
      } catch (...) {
        failure.keep();
      }
    }
    failure.rethrow();
  });
}

void run(const AttentionBackward& op) {
  dispatch(op.q.dtype, [&](auto type) {
    using T = decltype(type);
    const std::int64_t tasks = op.q.rows / op.shape.sequence * op.shape.kv_heads;
    RegionFailure failure;
#pragma omp parallel for schedule(dynamic)
    for (std::int64_t task = 0; task < tasks; ++task) {
      try {
        BackwardHead<T>(op, task / op.shape.kv_heads * op.shape.sequence, task % op.shape.kv_heads);
      } catch (...) {
        failure.keep();
      }
    }
    failure.rethrow();
  });
}

}  // namespace trireme::kernels::VECTOR_NAMESPACE
