#pragma once

#include <cstdint>

#include "kernels/tensor.h"

namespace trireme::kernels {

// The work an operation asks for. Metrics add it up; the synthetic backend waits it out.
struct Cost {
  double flops = 0;
  double bytes = 0;
};

// An operation is a plain struct: its operands, the contract they must meet, its cost. Backends
// receive only operations whose contract holds.
//
// Activations have one of the dtypes f32, bf16, f16 or f64, the same for all operands of an
// operation unless said otherwise. Arithmetic and statistics are f32 (f64 for f64), and so are
// gradients of parameters: they are accumulated, `d_weight += ...`. "tokens" is micro-batch times
// sequence, sequence varying fastest.

// out[...] = value.
struct Fill {
  View out;
  double value = 0;

  void validate() const;
  Cost cost() const;
};

// out = x in the dtype of out, rounded to nearest even.
struct Convert {
  View x;
  View out;

  void validate() const;
  Cost cost() const;
};

// out = a + b; out may be a or b.
struct Add {
  View a, b, out;

  void validate() const;
  Cost cost() const;
};

// out = op(a) op(b) + bias, or out += op(a) op(b) + bias if `accumulate`. op transposes if asked.
// `out` may be f32 when a and b are not.
struct Matmul {
  View a, b, out;
  View bias = {};  // (1, columns of out), added to every row; may be absent
  bool transpose_a = false;
  bool transpose_b = false;
  bool accumulate = false;

  std::int64_t inner() const { return transpose_a ? a.rows : a.columns; }
  void validate() const;
  Cost cost() const;
};

// out += the sum of the rows of x.
struct ColumnSum {
  View x;    // (rows, columns)
  View out;  // (1, columns), accumulator

  void validate() const;
  Cost cost() const;
};

// sum[r] = x[r] + residual[r]; out[r] = weight * sum[r] * inv_rms[r], with
// inv_rms[r] = 1 / sqrt(mean(sum[r]^2) + epsilon). Without a residual, sum is x and not written.
// Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467.
struct RmsNorm {
  View x;              // (tokens, channels)
  View residual = {};  // (tokens, channels), may be absent
  View sum = {};       // (tokens, channels), given with residual
  View weight;         // (1, channels)
  View out;            // (tokens, channels)
  View inv_rms;        // (tokens, 1), accumulator dtype, kept for the backward pass
  double epsilon = 1e-5;

  void validate() const;
  Cost cost() const;
};

// d_x = the gradient through the norm, plus d_residual if given. x is what was normalized.
struct RmsNormBackward {
  View x;                // (tokens, channels)
  View weight;           // (1, channels)
  View inv_rms;          // (tokens, 1)
  View d_out;            // (tokens, channels)
  View d_residual = {};  // (tokens, channels), may be absent
  View d_x;              // (tokens, channels), may be d_residual
  View d_weight;         // (1, channels), accumulator

  void validate() const;
  Cost cost() const;
};

// As RmsNorm, with out[r] = weight * (sum[r] - mean[r]) * inv_std[r] + bias.
// Ba et al. 2016, https://arxiv.org/abs/1607.06450.
struct LayerNorm {
  View x;              // (tokens, channels)
  View residual = {};  // (tokens, channels), may be absent
  View sum = {};       // (tokens, channels), given with residual
  View weight, bias;   // (1, channels)
  View out;            // (tokens, channels)
  View mean, inv_std;  // (tokens, 1), accumulator dtype
  double epsilon = 1e-5;

  void validate() const;
  Cost cost() const;
};

struct LayerNormBackward {
  View x;                 // (tokens, channels)
  View weight;            // (1, channels)
  View mean, inv_std;     // (tokens, 1)
  View d_out;             // (tokens, channels)
  View d_residual = {};   // (tokens, channels), may be absent
  View d_x;               // (tokens, channels), may be d_residual
  View d_weight, d_bias;  // (1, channels), accumulator

  void validate() const;
  Cost cost() const;
};

// Rotates every head of x in place by its position in the sequence: pairs (i, i + head_dim / 2),
// the layout of Hugging Face. `inverse` turns it back, which is the gradient.
// Su et al. 2021, https://arxiv.org/abs/2104.09864.
struct Rope {
  View x;         // (tokens, heads * head_dim)
  View cos, sin;  // (positions, head_dim / 2), accumulator dtype
  std::int64_t sequence = 0;
  std::int64_t head_dim = 0;
  bool inverse = false;

  void validate() const;
  Cost cost() const;
};

// Sizes of causal grouped-query attention. Query head h reads key and value head
// h / (heads / kv_heads).
struct AttentionShape {
  std::int64_t sequence = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
};

// out = softmax(scale q k^T, causal) v per head, without ever holding a sequence by sequence
// matrix. Dao et al. 2022, https://arxiv.org/abs/2205.14135.
struct Attention {
  View q;            // (tokens, heads * head_dim)
  View k, v;         // (tokens, kv_heads * head_dim)
  View out;          // (tokens, heads * head_dim)
  View log_sum_exp;  // (sequences * heads, sequence), accumulator dtype, for the backward pass
  AttentionShape shape;
  double scale = 1;

  void validate() const;
  Cost cost() const;
};

struct AttentionBackward {
  View q, k, v, out, log_sum_exp;  // as in Attention
  View d_out;                      // (tokens, heads * head_dim)
  View d_q;                        // (tokens, heads * head_dim)
  View d_k, d_v;                   // (tokens, kv_heads * head_dim)
  AttentionShape shape;
  double scale = 1;

  void validate() const;
  Cost cost() const;
};

// What this is the gradient of.
Attention forward_of(const AttentionBackward& op);

// out = silu(gate) * up. Shazeer 2020, https://arxiv.org/abs/2002.05202.
struct SwiGlu {
  View gate, up, out;  // (tokens, channels)

  void validate() const;
  Cost cost() const;
};

struct SwiGluBackward {
  View gate, up, d_out, d_gate, d_up;  // (tokens, channels)

  void validate() const;
  Cost cost() const;
};

// out = gelu(x), the tanh form of GPT-2.
struct Gelu {
  View x, out;  // (tokens, channels)

  void validate() const;
  Cost cost() const;
};

struct GeluBackward {
  View x, d_out, d_x;  // (tokens, channels)

  void validate() const;
  Cost cost() const;
};

// out[t] = table[ids[t] - first_id] (+ positions[t mod sequence] if given). Rows whose id is
// outside the table, as when a rank holds a part of the vocabulary, are zero.
struct Embedding {
  View ids;             // (tokens, 1), i32
  View table;           // (vocabulary, channels)
  View positions = {};  // (at least sequence, channels), may be absent
  View out;             // (tokens, channels)
  std::int64_t sequence = 0;
  std::int64_t first_id = 0;

  void validate() const;
  Cost cost() const;
};

// Sums in the order of the tokens: deterministic, whatever repeats.
struct EmbeddingBackward {
  View ids;               // (tokens, 1), i32
  View d_out;             // (tokens, channels)
  View d_table;           // (vocabulary, channels), accumulator
  View d_positions = {};  // (at least sequence, channels), accumulator; may be absent
  std::int64_t sequence = 0;
  std::int64_t first_id = 0;

  void validate() const;
  Cost cost() const;
};

// The first half of softmax cross-entropy, over the columns this rank holds. Ranks that share a
// vocabulary merge what each found: MergeStatistics.
struct CrossEntropyStatistics {
  View logits;        // (tokens, vocabulary)
  View targets;       // (tokens, 1), i32; negative means: not a target
  View maximum;       // (tokens, 1), accumulator
  View sum_exp;       // (tokens, 1), accumulator: sum of exp(logit - maximum)
  View target_logit;  // (tokens, 1), accumulator; 0 where the target is elsewhere
  std::int64_t first_id = 0;

  void validate() const;
  Cost cost() const;
};

// The statistics of the whole vocabulary from those of its parts: the largest maximum, sums of
// exponentials rescaled to it, target logits added. Operands are accumulators.
struct MergeStatistics {
  View parts;         // (ranks, 3 * tokens): each rank's maxima, then sums, then target logits
  View maximum;       // (tokens, 1)
  View sum_exp;       // (tokens, 1)
  View target_logit;  // (tokens, 1)

  void validate() const;
  Cost cost() const;
};

// The second half. Adds the negative log-likelihoods to `loss`, and overwrites the logits with
// their gradient, gradient_scale * (softmax - one_hot(target)), if `with_gradient`.
struct CrossEntropy {
  View logits;                          // (tokens, vocabulary)
  View targets;                         // (tokens, 1), i32; negative means: not a target
  View maximum, sum_exp, target_logit;  // (tokens, 1), accumulator
  View loss;                            // (1, 1), f64
  std::int64_t first_id = 0;
  double gradient_scale = 1;
  bool with_gradient = true;

  void validate() const;
  Cost cost() const;
};

// out += the sum of x^2, in f64 and in an order that does not depend on threads.
struct SquaredNorm {
  View x;
  View out;  // (1, 1), f64

  void validate() const;
  Cost cost() const;
};

// One AdamW step on part of a flat buffer: gradient is multiplied by gradient_scale, decay is
// decoupled from the gradient. Writes the new value to `parameter` in its own dtype if given.
// Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101.
struct AdamW {
  View master;          // (1, n), accumulator dtype
  View first_moment;    // (1, n), accumulator dtype
  View second_moment;   // (1, n), accumulator dtype
  View gradient;        // (1, n), accumulator dtype
  View parameter = {};  // (1, n), any dtype; absent when the master is the parameter
  double learning_rate = 0;
  double beta1 = 0.9, beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0;
  double gradient_scale = 1;
  std::int64_t step = 1;  // counts from 1, for the bias correction

  void validate() const;
  Cost cost() const;
};

}  // namespace trireme::kernels
