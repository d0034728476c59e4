#include "bench/kernels.h"

#include <span>

#include "bench/measure.h"

namespace trireme::bench {
namespace {

using namespace kernels;

class KernelBench {
 public:
  KernelBench(Backend& backend, double seconds)
      : backend_(backend), stream_(backend.make_stream()), seconds_(seconds) {
    peak_ = backend.peak_flops_per_second(Dtype::f32);
    // As large as what the operations below work on: the limit must meet the same caches.
    const Tensor from = random(kRows, kColumns), to = empty(kRows, kColumns);
    copy_ = 2.0 * static_cast<double>(from.view().bytes()) / time(Convert{.x = from, .out = to});
  }

  void matmuls() {
    for (const std::int64_t n : {512, 1024, 2048}) matmul(n, n, n, "square");
    // The products of a layer of hidden size 384 and of 768, 2048 tokens: forward, input gradient,
    // weight gradient.
    for (const std::int64_t hidden : {384, 768}) {
      matmul(2048, hidden * 8 / 3 * 2, hidden, "up, hidden " + std::to_string(hidden));
      matmul(2048, hidden, hidden * 8 / 3, "down, hidden " + std::to_string(hidden));
    }
  }

  void attention(std::int64_t sequence, std::int64_t heads, std::int64_t kv_heads,
                 std::int64_t dim) {
    const std::int64_t tokens = 2048;
    const AttentionShape shape{sequence, heads, kv_heads, dim};
    const Tensor q = random(tokens, heads * dim), k = random(tokens, kv_heads * dim),
                 v = random(tokens, kv_heads * dim);
    const Tensor out = empty(tokens, heads * dim), lse = empty(tokens, heads),
                 d_out = random(tokens, heads * dim);
    const Tensor d_q = empty(tokens, heads * dim), d_k = empty(tokens, kv_heads * dim),
                 d_v = empty(tokens, kv_heads * dim);
    const std::string text = "sequence " + std::to_string(sequence) + ", " + std::to_string(heads) +
                             "/" + std::to_string(kv_heads) + " heads of " + std::to_string(dim);
    compute("attention", text,
            Attention{.q = q,
                      .k = k,
                      .v = v,
                      .out = out,
                      .log_sum_exp = lse,
                      .shape = shape,
                      .scale = 0.125});
    compute("attention backward", text,
            AttentionBackward{.q = q,
                              .k = k,
                              .v = v,
                              .out = out,
                              .log_sum_exp = lse,
                              .d_out = d_out,
                              .d_q = d_q,
                              .d_k = d_k,
                              .d_v = d_v,
                              .shape = shape,
                              .scale = 0.125});
  }

  void memory_bound() {
    const std::int64_t tokens = kRows, channels = kColumns;
    const std::string text = std::to_string(tokens) + " x " + std::to_string(channels);
    const Tensor x = random(tokens, channels), y = random(tokens, channels),
                 d = random(tokens, channels);
    const Tensor out = empty(tokens, channels), other = empty(tokens, channels);
    const Tensor weight = random(1, channels), scale = empty(tokens, 1),
                 d_weight = random(1, channels);
    memory(
        "rms_norm + residual", text,
        RmsNorm{
            .x = x, .residual = y, .sum = other, .weight = weight, .out = out, .inv_rms = scale});
    memory("rms_norm backward", text,
           RmsNormBackward{.x = x,
                           .weight = weight,
                           .inv_rms = scale,
                           .d_out = d,
                           .d_residual = y,
                           .d_x = out,
                           .d_weight = d_weight});
    memory("swiglu", text, SwiGlu{.gate = x, .up = y, .out = out});
    memory("swiglu backward", text,
           SwiGluBackward{.gate = x, .up = y, .d_out = d, .d_gate = out, .d_up = other});
    memory("add", text, Add{.a = x, .b = y, .out = out});
    const Tensor logits = random(2048, 4096), column = random(2048, 1), sum = empty(2048, 1),
                 own = empty(2048, 1);
    const Tensor loss = backend_.allocate(*stream_, {1, 1}, Dtype::f64, Category::workspace);
    const Tensor ids = backend_.allocate(*stream_, {2048, 1}, Dtype::i32, Category::workspace);
    const std::vector<std::int32_t> targets(2048, 7);
    backend_.upload(*stream_, std::as_bytes(std::span(targets)), ids);
    memory("cross-entropy statistics", "2048 x 4096",
           CrossEntropyStatistics{.logits = logits,
                                  .targets = ids,
                                  .maximum = column,
                                  .sum_exp = sum,
                                  .target_logit = own});
    memory("cross-entropy gradient", "2048 x 4096",
           CrossEntropy{.logits = logits,
                        .targets = ids,
                        .maximum = column,
                        .sum_exp = sum,
                        .target_logit = own,
                        .loss = loss});
    const Tensor w = random(1, 1 << 23), m = random(1, 1 << 23), g = random(1, 1 << 23),
                 v = filled(1, 1 << 23, 1);
    memory("adamw", "8.39M parameters",
           AdamW{.master = w,
                 .first_moment = m,
                 .second_moment = v,
                 .gradient = g,
                 .learning_rate = 1e-4});
    memory("squared norm", "8.39M elements", SquaredNorm{.x = g, .out = loss});
  }

  std::vector<KernelResult> results;

 private:
  static constexpr std::int64_t kRows = 8192, kColumns = 1024;  // of operations bound by memory

  Tensor empty(std::int64_t rows, std::int64_t columns) {
    return backend_.allocate(*stream_, {rows, columns}, Dtype::f32, Category::workspace);
  }

  Tensor filled(std::int64_t rows, std::int64_t columns, double value) {
    Tensor tensor = empty(rows, columns);
    backend_.run(*stream_, Fill{.out = tensor, .value = value});
    return tensor;
  }

  // Random, because some units run faster on zeros.
  Tensor random(std::int64_t rows, std::int64_t columns) {
    Tensor tensor = empty(rows, columns);
    std::vector<float> values(static_cast<std::size_t>(rows * columns));
    std::uint32_t state = 1;
    for (float& value : values) {
      state = state * 1664525u + 1013904223u;
      value = static_cast<float>(state >> 8) * 0x1p-23f - 1;
    }
    backend_.upload(*stream_, std::as_bytes(std::span(values)), tensor);
    stream_->synchronize();
    return tensor;
  }

  void matmul(std::int64_t rows, std::int64_t columns, std::int64_t inner,
              const std::string& what) {
    const Tensor x = random(rows, inner), w = random(columns, inner), y = random(rows, columns);
    const Tensor d_x = empty(rows, inner), d_w = random(columns, inner);
    const auto text = [&](std::int64_t m, std::int64_t n, std::int64_t k) {
      return std::to_string(m) + " x " + std::to_string(n) + " x " + std::to_string(k) + " (" +
             what + ")";
    };
    compute("matmul forward", text(rows, columns, inner),
            Matmul{.a = x, .b = w, .out = y, .transpose_b = true});
    compute("matmul input gradient", text(rows, inner, columns),
            Matmul{.a = y, .b = w, .out = d_x});
    compute("matmul weight gradient", text(columns, inner, rows),
            Matmul{.a = y, .b = x, .out = d_w, .transpose_a = true, .accumulate = true});
  }

  template <class Kind>
  double time(const Kind& operation) {
    std::vector<double> times;
    double spent = 0;
    for (int i = 0; i < 3 || spent < seconds_; ++i) {
      const double seconds = seconds_of([&] {
        backend_.run(*stream_, operation);
        stream_->synchronize();
      });
      spent += seconds;
      if (i > 0) times.push_back(seconds);  // the first one fills caches
    }
    return median(times);
  }

  template <class Kind>
  void compute(const std::string& name, const std::string& shape, const Kind& operation) {
    const double seconds = time(operation);
    results.push_back({name, shape, seconds, operation.cost().flops / seconds, peak_, false});
  }

  template <class Kind>
  void memory(const std::string& name, const std::string& shape, const Kind& operation) {
    const double seconds = time(operation);
    results.push_back({name, shape, seconds, operation.cost().bytes / seconds, copy_, true});
  }

  Backend& backend_;
  std::unique_ptr<Stream> stream_;
  double seconds_;
  double peak_ = 0, copy_ = 0;
};

}  // namespace

std::vector<KernelResult> run_kernels(Backend& backend, double seconds_per_kernel) {
  KernelBench bench(backend, seconds_per_kernel);
  bench.matmuls();
  bench.attention(256, 6, 2, 64);
  bench.attention(2048, 6, 2, 64);
  bench.attention(1024, 8, 8, 128);
  bench.memory_bound();
  return std::move(bench.results);
}

}  // namespace trireme::bench
