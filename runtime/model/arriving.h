#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/tensor.h"

namespace trireme::runtime {

// All tokens of a micro-batch, as a matrix needs them. `all` is a view of `owned`, or of what was
// gathered from.
struct Gathered {
  kernels::Tensor owned;
  kernels::View all;
};

// Enqueues, on the stream of the operation it is given to, what makes rows of `out` from the same
// rows of `in`.
using Product = std::function<void(kernels::View in, kernels::View out)>;

// Tokens on their way beside `stream`, in equal pieces of consecutive rows. Work enqueued on the
// stream meanwhile runs at the same time. Dropped, they are waited for as well, so that memory
// never leaves under a collective.
class Arriving {
 public:
  // In the order in which the pieces are reached; none if all is there.
  using Pieces = std::vector<std::shared_ptr<const kernels::Event>>;

  Arriving(Gathered tokens, kernels::Stream& stream, Pieces pieces)
      : tokens_(std::move(tokens)), stream_(&stream), pieces_(std::move(pieces)) {}
  Arriving(Arriving&&) noexcept = default;
  Arriving& operator=(Arriving&&) = delete;
  ~Arriving() {
    try {
      wait();
    } catch (const kernels::DeviceError&) {
      // Whoever synchronizes with the stream is told.
    }
  }

  // What is enqueued on the stream from now on finds all tokens.
  Gathered finish() {
    wait();
    return std::move(tokens_);
  }

  // And `out`, as many rows, is made of them, of each piece as soon as it is there.
  Gathered finish_into(const Product& product, kernels::View out) {
    const auto count = static_cast<std::int64_t>(std::max<std::size_t>(pieces_.size(), 1));
    const std::int64_t rows = tokens_.all.rows / count;
    for (std::int64_t i = 0; i < count; ++i) {
      if (!pieces_.empty()) stream_->wait_for(pieces_[static_cast<std::size_t>(i)]);
      product(tokens_.all.row_range(i * rows, rows), out.row_range(i * rows, rows));
    }
    pieces_.clear();
    return std::move(tokens_);
  }

 private:
  void wait() {
    if (!pieces_.empty()) stream_->wait_for(pieces_.back());
    pieces_.clear();
  }

  Gathered tokens_;
  kernels::Stream* stream_;
  Pieces pieces_;
};

}  // namespace trireme::runtime
