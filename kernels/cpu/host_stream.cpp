#include "kernels/cpu/host_stream.h"

#include <omp.h>
#include <sys/prctl.h>

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

}  // namespace

HostStream::HostStream(int threads) : worker_([this, threads] { run_tasks(threads); }) {}

HostStream::~HostStream() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  worker_.join();
}

void HostStream::enqueue(std::function<void()> task) {
  push({.work = std::move(task), .always = false});
}

std::shared_ptr<const Event> HostStream::record() {
  auto event = std::make_shared<HostEvent>();
  push({.work = [event] { event->reach(); }, .always = true});
  return event;
}

void HostStream::wait_for(std::shared_ptr<const Event> event) {
  push({.work = [event = std::move(event)] { event->wait(); }, .always = true});
}

void HostStream::synchronize() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return tasks_.empty(); });
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
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
      lock.unlock();
      std::exception_ptr failure;
      try {
        task.work();
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
