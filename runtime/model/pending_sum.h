#pragma once

#include <memory>
#include <utility>

#include "kernels/tensor.h"

namespace trireme::runtime {

// A sum that is made beside `stream`. Work enqueued on the stream before `finish` runs at the same
// time; work after it finds the sum. Dropped, it is finished as well, so that memory never leaves
// under a collective.
class PendingSum {
 public:
  // Nothing is under way: `sum` is there.
  explicit PendingSum(kernels::Tensor sum) : sum_(std::move(sum)) {}
  // `summand` is kept until then; nothing if the sum is in its place.
  PendingSum(kernels::Tensor sum, kernels::Tensor summand, kernels::Stream& stream,
             std::shared_ptr<const kernels::Event> done)
      : sum_(std::move(sum)),
        summand_(std::move(summand)),
        stream_(&stream),
        done_(std::move(done)) {}
  PendingSum(PendingSum&&) noexcept = default;
  PendingSum& operator=(PendingSum&&) = delete;
  ~PendingSum() {
    try {
      wait();
    } catch (const kernels::DeviceError&) {
      // Whoever synchronizes with the stream is told.
    }
  }

  kernels::Tensor finish() {
    wait();
    summand_.reset();
    return std::move(sum_);
  }

 private:
  void wait() {
    if (done_) stream_->wait_for(std::exchange(done_, nullptr));
  }

  kernels::Tensor sum_, summand_;
  kernels::Stream* stream_ = nullptr;
  std::shared_ptr<const kernels::Event> done_;
};

}  // namespace trireme::runtime
