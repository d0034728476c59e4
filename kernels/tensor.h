#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernels/check.h"
#include "kernels/dtype.h"
#include "kernels/memory.h"
#include "kernels/stream.h"

namespace trireme::kernels {

struct Shape {
  std::int64_t rows = 0;
  std::int64_t columns = 0;

  std::int64_t size() const { return rows * columns; }
  auto operator<=>(const Shape&) const = default;
};

// A borrowed row-major matrix of device memory; a vector is a matrix of one row. Row r starts
// `stride` elements after row r - 1, so a View may be a block of columns of a wider matrix.
// Valid until its Tensor is dropped.
struct View {
  void* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t stride = 0;
  Dtype dtype = Dtype::f32;

  View() = default;
  View(void* memory, Shape shape, Dtype type)
      : data(memory),
        rows(shape.rows),
        columns(shape.columns),
        stride(shape.columns),
        dtype(type) {}

  // False for a View of nothing: an operand that was not given.
  explicit operator bool() const { return data != nullptr; }

  Shape shape() const { return {rows, columns}; }
  std::int64_t size() const { return rows * columns; }
  std::size_t bytes() const { return static_cast<std::size_t>(size()) * size_of(dtype); }
  bool has_shape(std::int64_t r, std::int64_t c) const { return rows == r && columns == c; }
  bool contiguous() const { return stride == columns || rows <= 1; }

  View row_range(std::int64_t first, std::int64_t count) const {
    expects(first >= 0 && count >= 0 && first + count <= rows, "rows of the view");
    View part = *this;
    part.data = static_cast<std::byte*>(data) + offset(first * stride);
    part.rows = count;
    return part;
  }

  View column_range(std::int64_t first, std::int64_t count) const {
    expects(first >= 0 && count >= 0 && first + count <= columns, "columns of the view");
    View part = *this;
    part.data = static_cast<std::byte*>(data) + offset(first);
    part.columns = count;
    return part;
  }

  // The same elements in another shape.
  View reshaped(Shape shape) const {
    expects(contiguous() && shape.size() == size(), "a contiguous view of as many elements");
    return View(data, shape, dtype);
  }

 private:
  std::size_t offset(std::int64_t elements) const {
    return static_cast<std::size_t>(elements) * size_of(dtype);
  }
};

// Owns device memory, in the order of a stream: dropping a Tensor never pulls memory from under
// work enqueued on that stream. Const, like a smart pointer's, is shallow.
class Tensor {
 public:
  Tensor() = default;  // nothing: what the first stage is given and the last one returns
  Tensor(View view, Memory& memory, Stream& stream, Category category)
      : view_(view), memory_(&memory), stream_(&stream), category_(category) {}
  Tensor(Tensor&& other) noexcept { *this = std::move(other); }
  Tensor& operator=(Tensor&& other) noexcept {
    std::swap(view_, other.view_);
    std::swap(memory_, other.memory_);
    std::swap(stream_, other.stream_);
    std::swap(category_, other.category_);
    return *this;
  }
  ~Tensor() { reset(); }

  // Gives the memory back now, in the order of the stream.
  void reset() {
    if (memory_)
      std::exchange(memory_, nullptr)->release(view_.data, view_.bytes(), *stream_, category_);
    view_ = View();
  }

  // Belongs to `stream` from now on, which must already wait for the stream before it.
  void follow(Stream& stream) { stream_ = &stream; }

  explicit operator bool() const { return memory_ != nullptr; }
  operator View() const { return view_; }
  const View& view() const { return view_; }
  std::int64_t rows() const { return view_.rows; }
  std::int64_t columns() const { return view_.columns; }

 private:
  View view_;
  Memory* memory_ = nullptr;
  Stream* stream_ = nullptr;
  Category category_ = Category::activations;
};

}  // namespace trireme::kernels
