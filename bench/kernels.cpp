#include "bench/kernels.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <span>
#include <type_traits>
#include <utility>

#include "bench/measure.h"

namespace trireme::bench {
namespace {

using namespace kernels;

// Sizes of what is measured. A tensor of an operation that is bound by memory is as large as the
// one whose copy is its limit, so that both meet the same caches.
struct Sizes {
  std::vector<std::int64_t> squares;  // products n x n x n
  struct Layer {
    std::int64_t tokens, hidden, intermediate;
  };
  std::vector<Layer> layers;  // whose products are measured
  struct Heads {
    std::int64_t tokens, sequence, heads, kv_heads, dim;
  };
  std::vector<Heads> attention;
  std::int64_t rows, columns;            // of operations bound by memory
  std::int64_t loss_tokens, vocabulary;  // of the cross-entropy
  std::int64_t parameters;               // of an update
};

Sizes sizes_for(bool large) {
  if (!large) {
    return {.squares = {512, 1024, 2048},
            .layers = {{2048, 384, 1024}, {2048, 768, 2048}},
            .attention = {{2048, 256, 6, 2, 64}, {2048, 2048, 6, 2, 64}, {2048, 1024, 8, 8, 128}},
            .rows = 8192,
            .columns = 1024,
            .loss_tokens = 2048,
            .vocabulary = 4096,
            .parameters = 1 << 23};
  }
  // GPT-2 124M and 1.5B, Llama 1B and 8B.
  return {
      .squares = {4096, 8192},
      .layers = {{32768, 768, 3072}, {16384, 1600, 6400}, {8192, 2048, 8192}, {8192, 4096, 14336}},
      .attention = {{16384, 1024, 12, 12, 64},
                    {16384, 1024, 25, 25, 64},
                    {16384, 8192, 32, 8, 64},
                    {16384, 2048, 32, 8, 128},
                    {16384, 8192, 32, 8, 128}},
      .rows = 32768,
      .columns = 4096,
      .loss_tokens = 8192,
      .vocabulary = 32768,
      .parameters = 1 << 28};
}

class KernelBench {
 public:
  KernelBench(Backend& backend, KernelOptions options)
      : backend_(backend),
        stream_(backend.make_stream()),
        options_(std::move(options)),
        sizes_(sizes_for(options_.large)),
        peak_(backend.peak_flops_per_second(options_.dtype)) {
    const Tensor from = random(sizes_.rows, sizes_.columns),
                 to = empty(sizes_.rows, sizes_.columns);
    copy_ = 2.0 * static_cast<double>(from.view().bytes()) / time(Convert{.x = from, .out = to});
  }

  void run() {
    for (const std::int64_t n : sizes_.squares) products({n, n, n}, "square");
    for (const auto& [tokens, hidden, intermediate] : sizes_.layers) {
      const std::string layer = "hidden " + std::to_string(hidden);
      products({tokens, intermediate * 2, hidden}, "up, " + layer);
      products({tokens, hidden, intermediate}, "down, " + layer);
    }
    for (const Sizes::Heads& heads : sizes_.attention) attention(heads);
    norms();
    activations();
    cross_entropy();
    updates();
  }

  std::vector<KernelResult> results;

 private:
  struct Product {
    std::int64_t rows, columns, inner;
  };

  bool wants(const std::string& name) const {
    return name.find(options_.only) != std::string::npos;
  }
  bool wants_any(std::initializer_list<const char*> names) const {
    return std::ranges::any_of(names, [this](const char* name) { return wants(name); });
  }

  // Forward, input gradient, weight gradient.
  void products(const Product& of, const std::string& what) {
    if (!wants_any({"matmul forward", "matmul input gradient", "matmul weight gradient"})) return;
    const auto [rows, columns, inner] = of;
    const Tensor x = random(rows, inner), w = random(columns, inner), y = random(rows, columns);
    const Tensor d_x = empty(rows, inner), d_w = filled(columns, inner, 0);
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

  void attention(const Sizes::Heads& of) {
    if (!wants_any({"attention", "attention backward"})) return;
    const auto [tokens, sequence, heads, kv_heads, dim] = of;
    const AttentionShape shape{sequence, heads, kv_heads, dim};
    const Tensor q = random(tokens, heads * dim), k = random(tokens, kv_heads * dim),
                 v = random(tokens, kv_heads * dim);
    const Tensor out = empty(tokens, heads * dim), lse = exact(tokens / sequence * heads, sequence),
                 d_out = random(tokens, heads * dim);
    const Tensor d_q = empty(tokens, heads * dim), d_k = empty(tokens, kv_heads * dim),
                 d_v = empty(tokens, kv_heads * dim);
    const std::string text = std::to_string(tokens) + " tokens, sequence " +
                             std::to_string(sequence) + ", " + std::to_string(heads) + "/" +
                             std::to_string(kv_heads) + " heads of " + std::to_string(dim);
    const double scale = 1 / std::sqrt(static_cast<double>(dim));
    compute("attention", text,
            Attention{.q = q,
                      .k = k,
                      .v = v,
                      .out = out,
                      .log_sum_exp = lse,
                      .shape = shape,
                      .scale = scale});
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
                              .scale = scale});
  }

  std::string memory_shape() const {
    return std::to_string(sizes_.rows) + " x " + std::to_string(sizes_.columns);
  }
  Tensor random() { return random(sizes_.rows, sizes_.columns); }
  Tensor empty() { return empty(sizes_.rows, sizes_.columns); }

  void norms() {
    if (!wants_any({"rms_norm + residual", "rms_norm backward"})) return;
    const Tensor x = random(), y = random(), out = empty(), sum = empty();
    const Tensor weight = random(1, sizes_.columns), d_weight = filled(1, sizes_.columns, 0),
                 scale = exact(sizes_.rows, 1);
    memory(
        "rms_norm + residual", memory_shape(),
        RmsNorm{.x = x, .residual = y, .sum = sum, .weight = weight, .out = out, .inv_rms = scale});
    memory("rms_norm backward", memory_shape(),
           RmsNormBackward{.x = x,
                           .weight = weight,
                           .inv_rms = scale,
                           .d_out = sum,
                           .d_residual = y,
                           .d_x = out,
                           .d_weight = d_weight});
  }

  void activations() {
    if (!wants_any({"swiglu", "swiglu backward", "add"})) return;
    const Tensor x = random(), y = random(), d = random(), out = empty(), other = empty();
    memory("swiglu", memory_shape(), SwiGlu{.gate = x, .up = y, .out = out});
    memory("swiglu backward", memory_shape(),
           SwiGluBackward{.gate = x, .up = y, .d_out = d, .d_gate = out, .d_up = other});
    memory("add", memory_shape(), Add{.a = x, .b = y, .out = out});
  }

  void cross_entropy() {
    if (!wants_any({"cross-entropy statistics", "cross-entropy gradient"})) return;
    const std::int64_t tokens = sizes_.loss_tokens;
    const Tensor logits = random(tokens, sizes_.vocabulary), maximum = exact(tokens, 1),
                 sum = exact(tokens, 1), own = exact(tokens, 1);
    const Tensor loss = backend_.allocate(*stream_, {1, 1}, Dtype::f64, Category::workspace);
    const Tensor ids = backend_.allocate(*stream_, {tokens, 1}, Dtype::i32, Category::workspace);
    const std::vector<std::int32_t> targets(static_cast<std::size_t>(tokens), 7);
    backend_.upload(*stream_, std::as_bytes(std::span(targets)), ids);
    const std::string text = std::to_string(tokens) + " x " + std::to_string(sizes_.vocabulary);
    memory("cross-entropy statistics", text,
           CrossEntropyStatistics{.logits = logits,
                                  .targets = ids,
                                  .maximum = maximum,
                                  .sum_exp = sum,
                                  .target_logit = own});
    memory("cross-entropy gradient", text,
           CrossEntropy{.logits = logits,
                        .targets = ids,
                        .maximum = maximum,
                        .sum_exp = sum,
                        .target_logit = own,
                        .loss = loss});
  }

  void updates() {
    if (!wants_any({"adamw", "squared norm"})) return;
    const std::int64_t count = sizes_.parameters;
    const Tensor w = exact(1, count), m = exact(1, count), v = exact(1, count), g = exact(1, count);
    for (const Tensor* state : {&w, &m, &v, &g}) fill(*state, 0.01);
    // The master is the parameter where it has its dtype.
    const Tensor parameter = options_.dtype == Dtype::f32 ? Tensor() : empty(1, count);
    const Tensor sum = backend_.allocate(*stream_, {1, 1}, Dtype::f64, Category::workspace);
    fill(sum, 0);
    AdamW update{
        .master = w, .first_moment = m, .second_moment = v, .gradient = g, .learning_rate = 1e-4};
    if (parameter) update.parameter = parameter;
    memory("adamw", std::to_string(count >> 20) + " Mi parameters", update);
    memory("squared norm", std::to_string(count >> 20) + " Mi elements",
           SquaredNorm{.x = g, .out = sum});
  }

  Tensor empty(std::int64_t rows, std::int64_t columns) {
    return backend_.allocate(*stream_, {rows, columns}, options_.dtype, Category::workspace);
  }

  // Of what statistics and optimizer state are kept in.
  Tensor exact(std::int64_t rows, std::int64_t columns) {
    return backend_.allocate(*stream_, {rows, columns}, Dtype::f32, Category::workspace);
  }

  void fill(const Tensor& tensor, double value) {
    backend_.run(*stream_, Fill{.out = tensor, .value = value});
  }

  // A main gradient.
  Tensor filled(std::int64_t rows, std::int64_t columns, double value) {
    Tensor tensor = exact(rows, columns);
    fill(tensor, value);
    return tensor;
  }

  // Random, because some units run faster on zeros: a block of numbers again and again.
  Tensor random(std::int64_t rows, std::int64_t columns) {
    std::vector<float> values(static_cast<std::size_t>(std::min(rows * columns, kBlock)));
    std::uint32_t state = 1;
    for (float& value : values) {
      state = state * 1664525u + 1013904223u;
      value = static_cast<float>(state >> 8) * 0x1p-23f - 1;
    }
    Tensor tensor = empty(rows, columns);
    const Tensor block = exact(1, static_cast<std::int64_t>(values.size()));
    backend_.upload(*stream_, std::as_bytes(std::span(values)), block);
    const View flat(tensor.view().data, {1, rows * columns}, options_.dtype);
    for (std::int64_t first = 0; first < flat.columns; first += kBlock) {
      const std::int64_t count = std::min(kBlock, flat.columns - first);
      backend_.run(*stream_, Convert{.x = block.view().column_range(0, count),
                                     .out = flat.column_range(first, count)});
    }
    stream_->synchronize();
    return tensor;
  }

  // Of one run among `runs` that follow each other, by the clock of the device.
  template <class Kind>
  double time_of(const Kind& operation, int runs) {
    const auto start = stream_->instant();
    for (int run = 0; run < runs; ++run) backend_.run(*stream_, operation);
    const auto end = stream_->instant();
    stream_->synchronize();
    return end->seconds_since(*start) / runs;
  }

  // The median of samples long enough to drown what starts and ends them.
  template <class Kind>
  double time(const Kind& operation) {
    time_of(operation, 1);  // fills caches, and chooses how to do it
    constexpr double kSample = 2e-3;
    const double first = time_of(operation, 1);
    const int runs = static_cast<int>(std::clamp(kSample / first, 1.0, 1000.0));
    std::vector<double> times;
    double spent = 0;
    while (times.size() < 3 || spent < options_.seconds) {
      times.push_back(time_of(operation, runs));
      spent += times.back() * runs;
    }
    return median(times);
  }

  template <class Kind>
  void compute(const std::string& name, const std::string& shape, const Kind& operation) {
    if (!wants(name)) return;
    backend_.try_ways(Backend::kUsualWays);
    const double seconds = time(operation);
    KernelResult result{.name = name,
                        .shape = shape,
                        .seconds = seconds,
                        .rate = operation.cost().flops / seconds,
                        .limit = peak_};
    if (std::is_same_v<Kind, Matmul> && backend_.try_ways(kAllWays)) {
      result.fastest_way = std::min(seconds, time(operation));
    }
    backend_.try_ways(0);
    results.push_back(result);
  }

  template <class Kind>
  void memory(const std::string& name, const std::string& shape, const Kind& operation) {
    if (!wants(name)) return;
    const double seconds = time(operation);
    results.push_back({.name = name,
                       .shape = shape,
                       .seconds = seconds,
                       .rate = operation.cost().bytes / seconds,
                       .limit = copy_,
                       .is_bandwidth = true});
  }

  static constexpr std::int64_t kBlock = std::int64_t{1} << 20;  // random numbers
  static constexpr int kAllWays = 1000;

  Backend& backend_;
  std::unique_ptr<Stream> stream_;
  KernelOptions options_;
  Sizes sizes_;
  double peak_, copy_ = 0;
};

}  // namespace

std::vector<KernelResult> run_kernels(Backend& backend, const KernelOptions& options) {
  KernelBench bench(backend, options);
  bench.run();
  return std::move(bench.results);
}

}  // namespace trireme::bench
