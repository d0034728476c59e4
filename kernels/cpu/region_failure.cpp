#include "kernels/cpu/region_failure.h"

namespace trireme::kernels {

RegionFailure::RegionFailure() = default;
RegionFailure::~RegionFailure() = default;

void RegionFailure::keep() noexcept {
  if (!kept_.exchange(true)) first_ = std::current_exception();
}

void RegionFailure::rethrow() const {
  if (first_) std::rethrow_exception(first_);
}

}  // namespace trireme::kernels
