#pragma once

#include <atomic>
#include <exception>

namespace trireme::kernels {

// What went wrong in a parallel region, for whoever waits for its end: no exception may leave one.
// Not inline, so that it is compiled for every machine.
class RegionFailure {
 public:
  RegionFailure();
  RegionFailure(const RegionFailure&) = delete;
  RegionFailure& operator=(const RegionFailure&) = delete;
  ~RegionFailure();

  // In a catch block of any thread: the first one counts.
  void keep() noexcept;

  // Behind the region: throws what was kept.
  void rethrow() const;

 private:
  std::atomic<bool> kept_ = false;
  std::exception_ptr first_;
};

}  // namespace trireme::kernels
