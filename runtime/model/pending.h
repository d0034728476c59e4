#pragma once

#include <memory>
#include <utility>

#include "kernels/tensor.h"

namespace trireme::runtime {

// What a collective beside `stream` will have made. Work enqueued on the stream before `finish`
// runs at the same time; work after it finds the result. Dropped, it is finished as well, so that
// memory never leaves under the collective.
template <class Result>
class Pending {
 public:
  // Nothing is under way: `result` is there.
  explicit Pending(Result result) : result_(std::move(result)) {}
  // `source` is kept until then; nothing if the caller keeps it.
  Pending(Result result, kernels::Tensor source, kernels::Stream& stream,
          std::shared_ptr<const kernels::Event> done)
      : result_(std::move(result)),
        source_(std::move(source)),
        stream_(&stream),
        done_(std::move(done)) {}
  Pending(Pending&&) noexcept = default;
  Pending& operator=(Pending&&) = delete;
  ~Pending() { wait(); }

  Result finish() {
    wait();
    source_.reset();
    return std::move(result_);
  }

 private:
  void wait() {
    if (done_) stream_->wait_for(std::exchange(done_, nullptr));
  }

  Result result_;
  kernels::Tensor source_;
  kernels::Stream* stream_ = nullptr;
  std::shared_ptr<const kernels::Event> done_;
};

}  // namespace trireme::runtime
