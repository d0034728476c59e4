#include "kernels/cpu/matmul.h"

#include <omp.h>

#include <map>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>
#include <vector>

#include "kernels/check.h"
#include "kernels/cpu/amx/amx_matmul.h"
#include "kernels/cpu/scratch_memory.h"

namespace trireme::kernels {
namespace {

// Everything that tells one oneDNN primitive from another.
struct Key {
  std::int64_t rows, columns, inner, a_stride, b_stride, out_stride;
  bool transpose_a, transpose_b, accumulate, bias;
  int threads;

  auto operator<=>(const Key&) const = default;
};

dnnl::memory::desc matrix(std::int64_t rows, std::int64_t columns, std::int64_t stride,
                          bool transpose) {
  using dnnl::memory;
  return memory::desc({rows, columns}, memory::data_type::f32,
                      transpose ? memory::dims{1, stride} : memory::dims{stride, 1});
}

struct Primitive {
  dnnl::matmul matmul;
  dnnl::memory::desc a, b, out, bias, scratchpad;
};

Primitive make_primitive(const Key& key, const dnnl::engine& engine) {
  Primitive made;
  made.a = matrix(key.rows, key.inner, key.a_stride, key.transpose_a);
  made.b = matrix(key.inner, key.columns, key.b_stride, key.transpose_b);
  made.out = matrix(key.rows, key.columns, key.out_stride, false);
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (key.accumulate) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    attributes.set_post_ops(sum);
  }
  if (key.bias) made.bias = matrix(1, key.columns, key.columns, false);
  const auto description = key.bias ? dnnl::matmul::desc(made.a, made.b, made.bias, made.out)
                                    : dnnl::matmul::desc(made.a, made.b, made.out);
  const dnnl::matmul::primitive_desc chosen(description, attributes, engine);
  made.matmul = dnnl::matmul(chosen);
  made.scratchpad = chosen.scratchpad_desc();
  return made;
}

// Scratch memory, given back at the end of its scope.
class HostScratch {
 public:
  explicit HostScratch(std::size_t bytes) : bytes_(bytes), data_(take_scratch(bytes)) {}
  HostScratch(const HostScratch&) = delete;
  HostScratch& operator=(const HostScratch&) = delete;
  ~HostScratch() { give_scratch(data_, bytes_); }

  void* data() const { return data_; }

 private:
  std::size_t bytes_;
  void* data_;
};

// Views of other types as f32, until the end of its scope.
class WideCopies {
 public:
  explicit WideCopies(RunVectorOperation convert) : convert_(convert) {}

  View of(View view, bool with_content) {
    if (!view || view.dtype == Dtype::f32) return view;
    copies_.push_back(
        std::make_unique<HostScratch>(static_cast<std::size_t>(view.size()) * sizeof(float)));
    const View copy(copies_.back()->data(), view.shape(), Dtype::f32);
    if (with_content) convert_(Convert{.x = view, .out = copy});
    return copy;
  }

 private:
  RunVectorOperation convert_;
  std::vector<std::unique_ptr<HostScratch>> copies_;
};

double element(const View& view, std::int64_t r, std::int64_t c, bool transpose) {
  const auto* values = static_cast<const double*>(view.data);
  return transpose ? values[c * view.stride + r] : values[r * view.stride + c];
}

void multiply_f64(const Matmul& op) {
  for (std::int64_t r = 0; r < op.out.rows; ++r) {
    double* out = static_cast<double*>(op.out.data) + r * op.out.stride;
    for (std::int64_t c = 0; c < op.out.columns; ++c) {
      double sum = op.bias ? static_cast<const double*>(op.bias.data)[c] : 0.0;
      for (std::int64_t k = 0; k < op.inner(); ++k) {
        sum += element(op.a, r, k, op.transpose_a) * element(op.b, k, c, op.transpose_b);
      }
      out[c] = op.accumulate ? out[c] + sum : sum;
    }
  }
}

}  // namespace

class CpuMatmul::Primitives {
 public:
  Primitives() : engine_(dnnl::engine::kind::cpu, 0) {}

  void run(const Matmul& op) {
    const Primitive& primitive = find(op);
    dnnl::stream stream(engine_);
    const auto wrap = [&](const dnnl::memory::desc& layout, View view) {
      return dnnl::memory(layout, engine_, view.data);
    };
    std::unordered_map<int, dnnl::memory> operands{{DNNL_ARG_SRC, wrap(primitive.a, op.a)},
                                                   {DNNL_ARG_WEIGHTS, wrap(primitive.b, op.b)},
                                                   {DNNL_ARG_DST, wrap(primitive.out, op.out)}};
    if (op.bias) operands.emplace(DNNL_ARG_BIAS, wrap(primitive.bias, op.bias));
    const HostScratch scratchpad(primitive.scratchpad.get_size());
    operands.emplace(DNNL_ARG_SCRATCHPAD,
                     dnnl::memory(primitive.scratchpad, engine_, scratchpad.data()));
    primitive.matmul.execute(stream, operands);
    stream.wait();
  }

 private:
  const Primitive& find(const Matmul& op) {
    const Key key{.rows = op.out.rows,
                  .columns = op.out.columns,
                  .inner = op.inner(),
                  .a_stride = op.a.stride,
                  .b_stride = op.b.stride,
                  .out_stride = op.out.stride,
                  .transpose_a = op.transpose_a,
                  .transpose_b = op.transpose_b,
                  .accumulate = op.accumulate,
                  .bias = static_cast<bool>(op.bias),
                  .threads = omp_get_max_threads()};
    std::lock_guard lock(mutex_);
    auto found = cache_.find(key);
    if (found == cache_.end()) found = cache_.emplace(key, make_primitive(key, engine_)).first;
    return found->second;
  }

  dnnl::engine engine_;
  std::mutex mutex_;
  std::map<Key, Primitive> cache_;
};

CpuMatmul::CpuMatmul(RunVectorOperation convert)
    : convert_(convert), primitives_(std::make_unique<Primitives>()) {}

CpuMatmul::~CpuMatmul() = default;

void CpuMatmul::run(const Matmul& op) {
  if (op.out.size() == 0) return;
  if (suits_amx(op)) return run_on_amx(op);
  switch (op.a.dtype) {
    case Dtype::f32: primitives_->run(op); break;
    case Dtype::f64: multiply_f64(op); break;
    case Dtype::bf16:
    case Dtype::f16: run_converted(op); break;
    case Dtype::i32: break;
  }
}

void CpuMatmul::run_on_amx(const Matmul& op) {
  WideCopies wide(convert_);
  Matmul product = op;
  product.bias = wide.of(op.bias, true);
  product.out = wide.of(op.out, op.accumulate);
  multiply_with_amx(product);
  if (product.out.data != op.out.data) convert_(Convert{.x = product.out, .out = op.out});
}

void CpuMatmul::run_converted(const Matmul& op) {
  WideCopies wide(convert_);
  Matmul product = op;
  product.a = wide.of(op.a, true);
  product.b = wide.of(op.b, true);
  product.bias = wide.of(op.bias, true);
  product.out = wide.of(op.out, op.accumulate);
  primitives_->run(product);
  if (product.out.data != op.out.data) convert_(Convert{.x = product.out, .out = op.out});
}

}  // namespace trireme::kernels
