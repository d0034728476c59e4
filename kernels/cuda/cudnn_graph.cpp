#include "kernels/cuda/cudnn_graph.h"

#include <utility>

#include "kernels/check.h"

namespace trireme::kernels {
namespace {

constexpr std::int64_t kAlignment = 16;  // bytes, of every tensor

}  // namespace

CudnnDescriptor::CudnnDescriptor(const CudnnLibrary& library, cudnnBackendDescriptorType_t type)
    : library_(&library), descriptor_(nullptr, library.destroy_descriptor) {
  cudnnBackendDescriptor_t made = nullptr;
  library.check(library.create_descriptor(type, &made));
  descriptor_.reset(made);
}

void CudnnDescriptor::set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                          std::int64_t count, const void* values) {
  library_->check(library_->set_attribute(get(), name, type, count, values));
}

void CudnnDescriptor::set(cudnnBackendAttributeName_t name, std::int64_t value) {
  set(name, CUDNN_TYPE_INT64, 1, &value);
}

void CudnnDescriptor::set(cudnnBackendAttributeName_t name, bool value) {
  set(name, CUDNN_TYPE_BOOLEAN, 1, &value);
}

void CudnnDescriptor::set(cudnnBackendAttributeName_t name, const CudnnDescriptor& value) {
  const cudnnBackendDescriptor_t descriptor = value.get();
  set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &descriptor);
}

void CudnnDescriptor::finalize() { library_->check(library_->finalize(get())); }

std::int64_t CudnnDescriptor::number(cudnnBackendAttributeName_t name) const {
  std::int64_t value = 0, count = 0;
  library_->check(library_->get_attribute(get(), name, CUDNN_TYPE_INT64, 1, &count, &value));
  return value;
}

std::size_t CudnnPlan::workspace_bytes() const {
  return static_cast<std::size_t>(plan_.number(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE));
}

void CudnnPlan::execute(cudnnHandle_t handle, std::span<const Binding> bindings,
                        void* workspace) const {
  const CudnnLibrary& library = graph_->library;
  std::vector<std::int64_t> ids;
  std::vector<void*> data;
  for (const Binding& binding : bindings) {
    ids.push_back(binding.id);
    data.push_back(binding.data);
  }
  for (Number& number : graph_->numbers) {
    ids.push_back(number.id);
    data.push_back(&number.value);
  }
  const auto count = static_cast<std::int64_t>(ids.size());
  CudnnDescriptor operands(library, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  operands.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, ids.data());
  operands.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, data.data());
  operands.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
  operands.finalize();
  library.check(library.execute(handle, plan_.get(), operands.get()));
}

CudnnGraph::CudnnGraph(const CudnnLibrary& library)
    : parts_(std::make_shared<CudnnPlan::Parts>(
          CudnnPlan::Parts{.library = library, .descriptors = {}, .numbers = {}})) {}

CudnnDescriptor CudnnGraph::make(cudnnBackendDescriptorType_t type) const {
  return {parts_->library, type};
}

void CudnnGraph::keep(CudnnDescriptor descriptor) {
  parts_->descriptors.push_back(std::move(descriptor));
}

CudnnGraph::Operand CudnnGraph::tensor(std::int64_t id, cudnnDataType_t type, const Sizes& sizes,
                                       const Sizes& strides, Where where) {
  CudnnDescriptor made = make(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  made.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id);
  made.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
  made.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, kAlignment);
  made.set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, sizes.data());
  made.set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides.data());
  made.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, where == Where::between);
  made.set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, where == Where::number);
  made.finalize();
  keep(std::move(made));
  return parts_->descriptors.size() - 1;
}

CudnnGraph::Operand CudnnGraph::outside(std::int64_t id, cudnnDataType_t type, Sizes sizes,
                                        Sizes strides) {
  return tensor(id, type, sizes, strides, Where::outside);
}

CudnnGraph::Operand CudnnGraph::between(cudnnDataType_t type, Sizes sizes, Sizes strides) {
  return tensor(next_id_++, type, sizes, strides, Where::between);
}

CudnnGraph::Operand CudnnGraph::number(float value) {
  parts_->numbers.push_back({.id = next_id_, .value = value});
  return tensor(next_id_++, CUDNN_DATA_FLOAT, {1, 1, 1, 1}, {1, 1, 1, 1}, Where::number);
}

void CudnnGraph::add(CudnnDescriptor operation) {
  operation.finalize();
  operations_.push_back(operation.get());
  keep(std::move(operation));
}

void CudnnGraph::multiply(Operand a, Operand b, Operand out) {
  const cudnnDataType_t precision = CUDNN_DATA_FLOAT;
  CudnnDescriptor how = make(CUDNN_BACKEND_MATMUL_DESCRIPTOR);
  how.set(CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &precision);
  how.finalize();
  CudnnDescriptor operation = make(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
  operation.set(CUDNN_ATTR_OPERATION_MATMUL_ADESC, at(a));
  operation.set(CUDNN_ATTR_OPERATION_MATMUL_BDESC, at(b));
  operation.set(CUDNN_ATTR_OPERATION_MATMUL_CDESC, at(out));
  operation.set(CUDNN_ATTR_OPERATION_MATMUL_DESC, how);
  keep(std::move(how));
  add(std::move(operation));
}

CudnnDescriptor CudnnGraph::pointwise(cudnnPointwiseMode_t mode, cudnnDataType_t precision) const {
  CudnnDescriptor how = make(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  how.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
  how.set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &precision);
  return how;
}

void CudnnGraph::add_pointwise(CudnnDescriptor how, std::span<const Operand> given, Operand out) {
  constexpr std::array kGiven{CUDNN_ATTR_OPERATION_POINTWISE_XDESC,
                              CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
                              CUDNN_ATTR_OPERATION_POINTWISE_TDESC};
  expects(!given.empty() && given.size() <= kGiven.size(), "pointwise: one to three operands");
  const float one = 1;
  how.finalize();
  CudnnDescriptor operation = make(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
  for (std::size_t i = 0; i < given.size(); ++i) operation.set(kGiven[i], at(given[i]));
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, at(out));
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_ALPHA1, CUDNN_TYPE_FLOAT, 1, &one);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_ALPHA2, CUDNN_TYPE_FLOAT, 1, &one);
  keep(std::move(how));
  add(std::move(operation));
}

void CudnnGraph::apply(cudnnPointwiseMode_t mode, std::span<const Operand> given, Operand out,
                       cudnnDataType_t precision) {
  add_pointwise(pointwise(mode, precision), given, out);
}

void CudnnGraph::index_along(std::int64_t axis, Operand shaped_like, Operand out) {
  CudnnDescriptor how = pointwise(CUDNN_POINTWISE_GEN_INDEX, CUDNN_DATA_FLOAT);
  how.set(CUDNN_ATTR_POINTWISE_AXIS, axis);
  add_pointwise(std::move(how), {&shaped_like, 1}, out);
}

void CudnnGraph::reduce(cudnnReduceTensorOp_t with, Operand x, Operand out) {
  const cudnnDataType_t precision = CUDNN_DATA_FLOAT;
  CudnnDescriptor how = make(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
  how.set(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &precision);
  how.set(CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &with);
  how.finalize();
  CudnnDescriptor operation = make(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
  operation.set(CUDNN_ATTR_OPERATION_REDUCTION_DESC, how);
  operation.set(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, at(x));
  operation.set(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, at(out));
  keep(std::move(how));
  add(std::move(operation));
}

void CudnnGraph::view_as(Operand x, Operand out) {
  CudnnDescriptor operation = make(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
  operation.set(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, at(x));
  operation.set(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, at(out));
  add(std::move(operation));
}

const CudnnDescriptor& CudnnGraph::finished(const CudnnTarget& target) {
  if (!finished_) {
    CudnnDescriptor graph = make(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
              static_cast<std::int64_t>(operations_.size()), operations_.data());
    if (target.handle) {
      graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &target.handle);
    }
    graph.finalize();
    keep(std::move(graph));
    finished_ = parts_->descriptors.size() - 1;
  }
  return parts_->descriptors[*finished_];
}

std::vector<CudnnDescriptor> CudnnGraph::choices(const CudnnTarget& target) {
  const cudnnBackendHeurMode_t mode = CUDNN_HEUR_MODE_A;
  CudnnDescriptor question = make(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  question.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, finished(target));
  question.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
  if (target.properties) question.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *target.properties);
  const CudnnLibrary& library = parts_->library;
  const cudnnStatus_t status = library.finalize(question.get());
  if (status / 1000 == CUDNN_STATUS_NOT_SUPPORTED / 1000) return {};
  library.check(status);
  std::int64_t count = 0;
  library.check(library.get_attribute(question.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                      CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, nullptr));
  std::vector<CudnnDescriptor> answers;
  std::vector<cudnnBackendDescriptor_t> places;
  for (std::int64_t i = 0; i < count; ++i) {
    answers.push_back(make(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR));
    places.push_back(answers.back().get());
  }
  library.check(library.get_attribute(question.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                      CUDNN_TYPE_BACKEND_DESCRIPTOR, count, &count, places.data()));
  answers.erase(answers.begin() + count, answers.end());
  return answers;
}

std::int64_t CudnnGraph::known_ways(const CudnnTarget& target) {
  return static_cast<std::int64_t>(choices(target).size());
}

std::vector<CudnnPlan> CudnnGraph::plans(const CudnnTarget& target, int most) {
  std::vector<CudnnPlan> made;
  for (CudnnDescriptor& choice : choices(target)) {
    if (static_cast<int>(made.size()) == most) break;
    CudnnDescriptor plan = make(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    if (target.handle) {
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &target.handle);
    } else {
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *target.properties);
    }
    plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, choice);
    // What is named may still turn out to be beyond this device: the next one, then.
    if (parts_->library.finalize(plan.get()) != CUDNN_STATUS_SUCCESS) continue;
    keep(std::move(choice));
    made.push_back(CudnnPlan(parts_, std::move(plan)));
  }
  return made;
}

}  // namespace trireme::kernels
