#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <thread>

#include "kernels/cuda/cudnn_library.h"

std::vector<double> dnn_ways;
std::atomic<int> dnn_last_way = -1;
std::atomic<int> dnn_executions = 0;
std::atomic<float> dnn_relative_error = 0;

namespace {

constexpr std::int64_t kWorkspaceBytes = 64;

using Sizes = std::array<std::int64_t, 4>;

struct Operand {
  std::int64_t id = 0;
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  Sizes sizes = {}, strides = {};
  bool is_between = false;

  std::int64_t at(const Sizes& index) const {
    std::int64_t sum = 0;
    for (std::size_t d = 0; d < 4; ++d) sum += index[d] * strides[d];
    return sum;
  }
  std::size_t span() const {
    Sizes last = sizes;
    for (std::int64_t& size : last) --size;
    return static_cast<std::size_t>(at(last)) + 1;
  }
};

struct Step {
  cudnnBackendDescriptorType_t kind = CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR;
  int mode = 0;
  std::size_t axis = 0;
  std::vector<Operand> given = {};
  Operand out = {};
};

struct Descriptor {
  cudnnBackendDescriptorType_t type;
  std::map<cudnnBackendAttributeName_t, std::vector<std::byte>> attributes = {};
  std::vector<Step> steps = {};  // of a graph, and what is made from it
  int way = 0;                   // of a choice, and of a plan
  bool is_final = false;

  bool has(cudnnBackendAttributeName_t name) const { return attributes.contains(name); }
  template <class T>
  std::vector<T> all(cudnnBackendAttributeName_t name) const {
    const auto& bytes = attributes.at(name);
    std::vector<T> values(bytes.size() / sizeof(T));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  template <class T>
  T one(cudnnBackendAttributeName_t name) const {
    T value = {};
    std::memcpy(&value, attributes.at(name).data(), sizeof value);
    return value;
  }
  const Descriptor& other(cudnnBackendAttributeName_t name) const {
    return *static_cast<const Descriptor*>(one<cudnnBackendDescriptor_t>(name));
  }
  Operand operand(cudnnBackendAttributeName_t name) const {
    const Descriptor& tensor = other(name);
    Operand made{.id = tensor.one<std::int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID),
                 .type = tensor.one<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE),
                 .sizes = tensor.one<Sizes>(CUDNN_ATTR_TENSOR_DIMENSIONS),
                 .strides = tensor.one<Sizes>(CUDNN_ATTR_TENSOR_STRIDES),
                 .is_between = tensor.one<bool>(CUDNN_ATTR_TENSOR_IS_VIRTUAL)};
    return made;
  }
};

std::size_t bytes_of(cudnnBackendAttributeType_t type) {
  switch (type) {
    case CUDNN_TYPE_BOOLEAN: return sizeof(bool);
    case CUDNN_TYPE_FLOAT: return sizeof(float);
    case CUDNN_TYPE_INT64: return sizeof(std::int64_t);
    case CUDNN_TYPE_DATA_TYPE:
    case CUDNN_TYPE_HEUR_MODE:
    case CUDNN_TYPE_POINTWISE_MODE:
    case CUDNN_TYPE_REDUCTION_OPERATOR_TYPE: return sizeof(int);
    default: return sizeof(void*);
  }
}

Step step_of(const Descriptor& operation) {
  Step step{.kind = operation.type};
  const auto give = [&](cudnnBackendAttributeName_t name) {
    if (operation.has(name)) step.given.push_back(operation.operand(name));
  };
  switch (operation.type) {
    case CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR:
      give(CUDNN_ATTR_OPERATION_MATMUL_ADESC);
      give(CUDNN_ATTR_OPERATION_MATMUL_BDESC);
      step.out = operation.operand(CUDNN_ATTR_OPERATION_MATMUL_CDESC);
      break;
    case CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR:
      give(CUDNN_ATTR_OPERATION_REDUCTION_XDESC);
      step.out = operation.operand(CUDNN_ATTR_OPERATION_REDUCTION_YDESC);
      step.mode = operation.other(CUDNN_ATTR_OPERATION_REDUCTION_DESC)
                      .one<int>(CUDNN_ATTR_REDUCTION_OPERATOR);
      break;
    case CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR:
      give(CUDNN_ATTR_OPERATION_RESHAPE_XDESC);
      step.out = operation.operand(CUDNN_ATTR_OPERATION_RESHAPE_YDESC);
      break;
    default: {
      const Descriptor& how = operation.other(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
      give(CUDNN_ATTR_OPERATION_POINTWISE_XDESC);
      give(CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
      give(CUDNN_ATTR_OPERATION_POINTWISE_TDESC);
      step.out = operation.operand(CUDNN_ATTR_OPERATION_POINTWISE_YDESC);
      step.mode = how.one<int>(CUDNN_ATTR_POINTWISE_MODE);
      if (how.has(CUDNN_ATTR_POINTWISE_AXIS)) {
        step.axis = static_cast<std::size_t>(how.one<std::int64_t>(CUDNN_ATTR_POINTWISE_AXIS));
      }
    }
  }
  return step;
}

float rounded(float value, cudnnDataType_t type) {
  switch (type) {
    case CUDNN_DATA_BFLOAT16: return __bfloat162float(__float2bfloat16_rn(value));
    case CUDNN_DATA_HALF: return __half2float(__float2half_rn(value));
    default: return value;
  }
}

// One execution of a graph.
class Run {
 public:
  explicit Run(std::map<std::int64_t, void*> outside) : outside_(std::move(outside)) {}

  void operator()(const std::vector<Step>& steps) {
    for (const Step& step : steps) {
      if (step.kind == CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR) {
        views_[step.out.id] = step.given[0];
        continue;
      }
      if (step.out.is_between) {
        between_[step.out.id].assign(step.out.span(), std::numeric_limits<float>::quiet_NaN());
      }
      if (step.kind == CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR) {
        for_all(step.out.sizes, [&](const Sizes& at) { put(step.out, at, product(step, at)); });
      } else if (step.kind == CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR) {
        reduce(step);
      } else {
        for_all(step.out.sizes, [&](const Sizes& at) { put(step.out, at, point(step, at)); });
      }
    }
  }

 private:
  template <class Body>
  static void for_all(const Sizes& sizes, const Body& body) {
    Sizes at = {};
    for (at[0] = 0; at[0] < sizes[0]; ++at[0])
      for (at[1] = 0; at[1] < sizes[1]; ++at[1])
        for (at[2] = 0; at[2] < sizes[2]; ++at[2])
          for (at[3] = 0; at[3] < sizes[3]; ++at[3]) body(at);
  }

  // An index of something as large as `from`, in something smaller: what is repeated or summed.
  static Sizes within(const Sizes& at, const Sizes& from, const Sizes& to) {
    Sizes result = {};
    for (std::size_t d = 0; d < 4; ++d) result[d] = at[d] * to[d] / from[d];
    return result;
  }

  float get(const Operand& operand, const Sizes& at) const {
    return rounded(raw(operand, operand.at(at)), operand.type);
  }

  float raw(const Operand& operand, std::int64_t place) const {
    const auto i = static_cast<std::size_t>(place);
    if (const auto view = views_.find(operand.id); view != views_.end()) {
      return raw(view->second, place);
    }
    if (operand.is_between) return between_.at(operand.id).at(i);
    const void* data = outside_.at(operand.id);
    switch (operand.type) {
      case CUDNN_DATA_BFLOAT16: return __bfloat162float(static_cast<const __nv_bfloat16*>(data)[i]);
      case CUDNN_DATA_HALF: return __half2float(static_cast<const __half*>(data)[i]);
      default: return static_cast<const float*>(data)[i];
    }
  }

  void put(const Operand& operand, const Sizes& at, float value) {
    const auto i = static_cast<std::size_t>(operand.at(at));
    if (operand.is_between) {
      between_.at(operand.id).at(i) = rounded(value, operand.type);
      return;
    }
    value *= 1 + dnn_relative_error;
    void* data = outside_.at(operand.id);
    switch (operand.type) {
      case CUDNN_DATA_BFLOAT16:
        static_cast<__nv_bfloat16*>(data)[i] = __float2bfloat16_rn(value);
        break;
      case CUDNN_DATA_HALF: static_cast<__half*>(data)[i] = __float2half_rn(value); break;
      default: static_cast<float*>(data)[i] = value;
    }
  }

  float product(const Step& step, const Sizes& at) const {
    const Operand &a = step.given[0], &b = step.given[1];
    const std::int64_t a_head = at[1] * a.sizes[1] / step.out.sizes[1];
    const std::int64_t b_head = at[1] * b.sizes[1] / step.out.sizes[1];
    float sum = 0;
    for (std::int64_t k = 0; k < a.sizes[3]; ++k) {
      sum += get(a, {at[0], a_head, at[2], k}) * get(b, {at[0], b_head, k, at[3]});
    }
    return sum;
  }

  void reduce(const Step& step) {
    const bool is_sum = step.mode == CUDNN_REDUCE_TENSOR_ADD;
    const Operand& x = step.given[0];
    std::vector<float> found(step.out.span(),
                             is_sum ? 0.0f : -std::numeric_limits<float>::infinity());
    for_all(x.sizes, [&](const Sizes& at) {
      const Sizes to = within(at, x.sizes, step.out.sizes);
      float& so_far = found.at(static_cast<std::size_t>(step.out.at(to)));
      const float value = get(x, at);
      so_far = is_sum ? so_far + value : std::max(so_far, value);
    });
    for_all(step.out.sizes, [&](const Sizes& at) {
      put(step.out, at, found.at(static_cast<std::size_t>(step.out.at(at))));
    });
  }

  float point(const Step& step, const Sizes& at) const {
    if (step.mode == CUDNN_POINTWISE_GEN_INDEX) return static_cast<float>(at[step.axis]);
    std::array<float, 3> given = {};
    for (std::size_t i = 0; i < step.given.size(); ++i) {
      given[i] = get(step.given[i], within(at, step.out.sizes, step.given[i].sizes));
    }
    switch (step.mode) {
      case CUDNN_POINTWISE_ADD: return given[0] + given[1];
      case CUDNN_POINTWISE_SUB: return given[0] - given[1];
      case CUDNN_POINTWISE_MUL: return given[0] * given[1];
      case CUDNN_POINTWISE_DIV: return given[0] / given[1];
      case CUDNN_POINTWISE_EXP: return std::exp(given[0]);
      case CUDNN_POINTWISE_LOG: return std::log(given[0]);
      case CUDNN_POINTWISE_CMP_GE: return given[0] >= given[1] ? 1.0f : 0.0f;
      case CUDNN_POINTWISE_BINARY_SELECT: return given[2] != 0 ? given[0] : given[1];
      default: return given[0];
    }
  }

  std::map<std::int64_t, void*> outside_;
  std::map<std::int64_t, std::vector<float>> between_;
  std::map<std::int64_t, Operand> views_;
};

Descriptor& of(cudnnBackendDescriptor_t descriptor) {
  return *static_cast<Descriptor*>(descriptor);
}

}  // namespace

void cudnnGetLastErrorString(char* message, std::size_t size) {
  std::strncpy(message, "a stand-in refuses", size);
}
cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  *handle = new DnnHandle;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  delete handle;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t* descriptor) {
  *descriptor = new Descriptor{.type = type};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  delete static_cast<Descriptor*>(descriptor);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, std::int64_t count,
                                       const void* values) {
  if (of(descriptor).is_final) return CUDNN_STATUS_BAD_PARAM;
  const auto* bytes = static_cast<const std::byte*>(values);
  of(descriptor).attributes[name] = {bytes,
                                     bytes + bytes_of(type) * static_cast<std::size_t>(count)};
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t, std::int64_t places,
                                       std::int64_t* count, void* values) {
  const Descriptor& from = of(descriptor);
  if (!from.is_final) return CUDNN_STATUS_BAD_PARAM;
  if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE) {
    std::memcpy(values, &kWorkspaceBytes, sizeof kWorkspaceBytes);
    *count = 1;
    return CUDNN_STATUS_SUCCESS;
  }
  *count = static_cast<std::int64_t>(dnn_ways.size());
  for (std::int64_t i = 0; i < std::min(places, *count); ++i) {
    Descriptor& choice = of(static_cast<cudnnBackendDescriptor_t*>(values)[i]);
    choice.steps = from.other(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH).steps;
    choice.way = static_cast<int>(i);
    choice.is_final = true;
  }
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  Descriptor& made = of(descriptor);
  if (made.type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) {
    for (cudnnBackendDescriptor_t operation :
         made.all<cudnnBackendDescriptor_t>(CUDNN_ATTR_OPERATIONGRAPH_OPS)) {
      if (!of(operation).is_final) return CUDNN_STATUS_BAD_PARAM;
      made.steps.push_back(step_of(of(operation)));
    }
  }
  if (made.type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
    const Descriptor& choice = made.other(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
    made.steps = choice.steps;
    made.way = choice.way;
    if (dnn_ways.at(static_cast<std::size_t>(made.way)) < 0) return CUDNN_STATUS_NOT_SUPPORTED;
  }
  made.is_final = true;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t operands) {
  const auto ids = of(operands).all<std::int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  const auto data = of(operands).all<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
  const auto* workspace = of(operands).one<void*>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
  if (!of(plan).is_final || !of(operands).is_final || !workspace) return CUDNN_STATUS_BAD_PARAM;
  std::map<std::int64_t, void*> outside;
  for (std::size_t i = 0; i < ids.size(); ++i) outside[ids[i]] = data[i];
  const double milliseconds = dnn_ways.at(static_cast<std::size_t>(of(plan).way));
  dnn_last_way = of(plan).way;
  ++dnn_executions;
  handle->stream->queue.enqueue([steps = of(plan).steps, outside, milliseconds] {
    std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(milliseconds));
    Run{outside}(steps);
  });
  return CUDNN_STATUS_SUCCESS;
}

namespace trireme::kernels {

std::optional<CudnnLibrary> load_cudnn() {
  return CudnnLibrary{.describe_last_error = cudnnGetLastErrorString,
                      .create = cudnnCreate,
                      .destroy = cudnnDestroy,
                      .set_stream = cudnnSetStream,
                      .create_descriptor = cudnnBackendCreateDescriptor,
                      .destroy_descriptor = cudnnBackendDestroyDescriptor,
                      .set_attribute = cudnnBackendSetAttribute,
                      .get_attribute = cudnnBackendGetAttribute,
                      .finalize = cudnnBackendFinalize,
                      .execute = cudnnBackendExecute,
                      .version = 91900};
}

}  // namespace trireme::kernels
