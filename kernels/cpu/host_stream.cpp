#include "kernels/cpu/host_stream.h"

#include <omp.h>
#include <sys/prctl.h>

#include <chrono>
#include <memory>
#include <utility>

#include "kernels/check.h"

namespace trireme::kernels {
namespace {

class HostEvent final : public Event {
 public:
  bool reached() const override {
    std::lock_guard lock(mutex_);
    return reached_;
  }

  void wait() const override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return reached_; });
  }

  void reach() {
    {
      std::lock_guard lock(mutex_);
      reached_ = true;
    }
    changed_.notify_all();
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool reached_ = false;
};

class HostInstant final : public Instant {
 public:
  void come() { time_ = Clock::now(); }

  double seconds_since(const Instant& earlier) const override {
    const auto* other = dynamic_cast<const HostInstant*>(&earlier);
    expects(other != nullptr, "an instant of a host backend");
    return std::chrono::duration<double>(time_ - other->time_).count();
  }

 private:
  using Clock = std::chrono::steady_clock;

  Clock::time_point time_;  // written by the stream, read when that has been waited for
};

class HostHold final : public Hold {
 public:
  void end(std::exception_ptr failure) override {
    failure_ = std::move(failure);
    ended_.reach();
  }

  void wait() const {
    ended_.wait();
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  HostEvent ended_;
  std::exception_ptr failure_;  // written before, read after it has ended
};

}  // namespace

HostStream::HostStream(int threads, std::function<void(const Stream&)> gone)
    : gone_(std::move(gone)), worker_([this, threads] { run_tasks(threads); }) {
  self_->stream = this;
}

HostStream::~HostStream() {
  {
    const std::lock_guard lock(self_->mutex);
    self_->stream = nullptr;
  }
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  worker_.join();
  if (gone_) gone_(*this);
}

void HostStream::enqueue(std::function<void()> task) {
  push({.work = [task = std::move(task)](const std::exception_ptr&) { task(); }, .always = false});
}

void HostStream::enqueue_always(std::function<void(std::exception_ptr)> task) {
  push({.work = std::move(task), .always = true});
}

std::shared_ptr<Hold> HostStream::hold() {
  auto hold = std::make_shared<HostHold>();
  enqueue_always([hold](const std::exception_ptr&) { hold->wait(); });
  return hold;
}

std::shared_ptr<const Event> HostStream::record() {
  auto event = std::make_shared<HostEvent>();
  enqueue_always([event](const std::exception_ptr&) { event->reach(); });
  return event;
}

std::shared_ptr<const Instant> HostStream::instant() {
  auto instant = std::make_shared<HostInstant>();
  enqueue_always([instant](const std::exception_ptr&) { instant->come(); });
  return instant;
}

void HostStream::wait_for(std::shared_ptr<const Event> event) {
  enqueue_always([event = std::move(event)](const std::exception_ptr&) { event->wait(); });
}

void HostStream::synchronize() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return tasks_.empty(); });
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

Stream::Fail HostStream::failing() {
  return [self = self_](std::exception_ptr failure) {
    const std::lock_guard lock(self->mutex);
    if (self->stream) self->stream->fail(std::move(failure));
  };
}

void HostStream::fail(std::exception_ptr failure) {
  const std::lock_guard lock(mutex_);
  if (!failure_) failure_ = std::move(failure);
}

void HostStream::push(Task task) {
  {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  changed_.notify_all();
}

void HostStream::run_tasks(int threads) {
  // Waits of this thread sleep in steps of microseconds, not of the kernel's default 50.
  prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
  omp_set_dynamic(0);
  omp_set_num_threads(threads);
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return closing_ || !tasks_.empty(); });
    if (tasks_.empty()) return;
    Task& task = tasks_.front();
    if (task.always || !failure_) {
      const std::exception_ptr before = failure_;
      lock.unlock();
      std::exception_ptr failure;
      try {
        task.work(before);
      } catch (...) {
        failure = std::current_exception();
      }
      task.work = nullptr;  // what it holds is released on this thread, outside the lock
      lock.lock();
      if (failure && !failure_) failure_ = failure;
    }
    tasks_.pop_front();
    if (tasks_.empty()) changed_.notify_all();
  }
}

HostStream& host(Stream& stream) {
  auto* found = dynamic_cast<HostStream*>(&stream);
  expects(found != nullptr, "a stream of a host backend");
  return *found;
}

}  // namespace trireme::kernels
