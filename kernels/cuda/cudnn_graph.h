#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "kernels/cuda/cudnn_library.h"

namespace trireme::kernels {

// Owns a descriptor of cuDNN's backend interface: made, given attributes, finalized.
class CudnnDescriptor {
 public:
  CudnnDescriptor(const CudnnLibrary& library, cudnnBackendDescriptorType_t type);

  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
           const void* values);
  void set(cudnnBackendAttributeName_t name, std::int64_t value);
  void set(cudnnBackendAttributeName_t name, bool value);
  void set(cudnnBackendAttributeName_t name, const CudnnDescriptor& value);
  void finalize();

  std::int64_t number(cudnnBackendAttributeName_t name) const;
  cudnnBackendDescriptor_t get() const { return descriptor_.get(); }

 private:
  const CudnnLibrary* library_;
  std::unique_ptr<void, decltype(&cudnnBackendDestroyDescriptor)> descriptor_;
};

// For which device a kernel is made: that of a handle, or one that is described and need not be
// here.
struct CudnnTarget {
  cudnnHandle_t handle = nullptr;
  const CudnnDescriptor* properties = nullptr;
};

// One way to execute a graph: an engine of cuDNN with its settings.
class CudnnPlan {
 public:
  struct Binding {
    std::int64_t id;
    void* data;  // on the device; on the host for a number
  };

  std::size_t workspace_bytes() const;

  // On the stream of the handle.
  void execute(cudnnHandle_t handle, std::span<const Binding> bindings, void* workspace) const;

 private:
  friend class CudnnGraph;
  struct Number {
    std::int64_t id;
    float value;
  };
  struct Parts {
    CudnnLibrary library;
    std::vector<CudnnDescriptor> descriptors;
    std::vector<Number> numbers;
  };
  CudnnPlan(std::shared_ptr<Parts> graph, CudnnDescriptor plan)
      : graph_(std::move(graph)), plan_(std::move(plan)) {}

  std::shared_ptr<Parts> graph_;
  CudnnDescriptor plan_;
};

// Operations on tensors of four dimensions, sums in f32, for cuDNN to make one kernel of. Tensors
// between operations are never stored: they have sizes and strides, and no memory.
class CudnnGraph {
 public:
  using Sizes = std::array<std::int64_t, 4>;
  using Operand = std::size_t;  // within this graph

  explicit CudnnGraph(const CudnnLibrary& library);

  // Memory under `id`, which is below 100, when the graph is executed.
  Operand outside(std::int64_t id, cudnnDataType_t type, Sizes sizes, Sizes strides);
  Operand between(cudnnDataType_t type, Sizes sizes, Sizes strides);
  Operand number(float value);

  void multiply(Operand a, Operand b, Operand out);
  void apply(cudnnPointwiseMode_t mode, std::span<const Operand> given, Operand out,
             cudnnDataType_t precision = CUDNN_DATA_FLOAT);
  void index_along(std::int64_t axis, Operand shaped_like, Operand out);
  void reduce(cudnnReduceTensorOp_t with, Operand x, Operand out);
  void view_as(Operand x, Operand out);  // the same elements with other sizes and strides

  // Ways to execute it, the most promising first: at most so many, none if cuDNN knows none for
  // this target. The graph is used up.
  std::vector<CudnnPlan> plans(const CudnnTarget& target, int most);

  // How many ways cuDNN names for the target, without making kernels.
  std::int64_t known_ways(const CudnnTarget& target);

 private:
  enum class Where { outside, between, number };

  Operand tensor(std::int64_t id, cudnnDataType_t type, const Sizes& sizes, const Sizes& strides,
                 Where where);
  CudnnDescriptor make(cudnnBackendDescriptorType_t type) const;
  CudnnDescriptor pointwise(cudnnPointwiseMode_t mode, cudnnDataType_t precision) const;
  void add_pointwise(CudnnDescriptor how, std::span<const Operand> given, Operand out);
  void add(CudnnDescriptor operation);
  void keep(CudnnDescriptor descriptor);
  const CudnnDescriptor& at(Operand operand) const { return parts_->descriptors[operand]; }
  std::vector<CudnnDescriptor> choices(const CudnnTarget& target);
  const CudnnDescriptor& finished(const CudnnTarget& target);

  std::shared_ptr<CudnnPlan::Parts> parts_;
  std::vector<cudnnBackendDescriptor_t> operations_;
  std::optional<std::size_t> finished_;
  std::int64_t next_id_ = 100;
};

}  // namespace trireme::kernels
