#include "kernels/cuda/device_pool.h"

#include <algorithm>
#include <vector>

#include "kernels/arena_pool.h"
#include "kernels/cuda/driver.h"

namespace trireme::kernels {
namespace {

// Mapped at a time: the driver takes tens of microseconds for a piece, whatever its size.
constexpr std::size_t kPiece = std::size_t{32} << 20;

std::size_t round_up(std::size_t bytes, std::size_t step) {
  return (bytes + step - 1) / step * step;
}

// As many addresses as the device has bytes, of which memory is mapped to the first ones.
class DeviceRegion final : public MemoryRegion {
 public:
  explicit DeviceRegion(int device) {
    kind_.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    kind_.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = device};
    check_driver(granularity(&grain_, &kind_, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED),
                 "cuMemGetAllocationGranularity");
    std::size_t unused = 0, total = 0;
    check(cudaMemGetInfo(&unused, &total));
    capacity_ = round_up(total, std::max(grain_, kPiece));
    check_driver(reserve(&begin_, capacity_, 0, 0, 0), "cuMemAddressReserve");
  }

  ~DeviceRegion() override {
    // Nowhere to report from here.
    std::size_t at = 0;
    for (const std::size_t bytes : pieces_) {
      unmap(begin_ + at, bytes);
      at += bytes;
    }
    unreserve(begin_, capacity_);
  }

  std::byte* begin() const override { return reinterpret_cast<std::byte*>(begin_); }
  std::size_t usable() const override { return usable_; }

  bool grow_to(std::size_t bytes, std::size_t spare) override {
    if (bytes <= usable_) return true;
    if (bytes > capacity_) return false;
    const std::size_t missing = bytes - usable_;
    if (spare > 0 && free_bytes() < missing + spare) return false;
    return add(std::min(round_up(missing, std::max(grain_, kPiece)), capacity_ - usable_)) ||
           add(round_up(missing, grain_));
  }

 private:
  static std::size_t free_bytes() {
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total));
    return free;
  }

  // False if the device has no more memory.
  bool add(std::size_t bytes) {
    CUmemGenericAllocationHandle memory = 0;
    const CUresult made = create(&memory, bytes, &kind_, 0);
    if (made == CUDA_ERROR_OUT_OF_MEMORY) return false;
    check_driver(made, "cuMemCreate");
    const CUresult mapped = map(begin_ + usable_, bytes, 0, memory, 0);
    // The mapping keeps it.
    check_driver(release(memory), "cuMemRelease");
    check_driver(mapped, "cuMemMap");
    const CUmemAccessDesc access{.location = kind_.location,
                                 .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    const CUresult allowed = allow(begin_ + usable_, bytes, &access, 1);
    if (allowed != CUDA_SUCCESS) unmap(begin_ + usable_, bytes);
    check_driver(allowed, "cuMemSetAccess");
    pieces_.push_back(bytes);
    usable_ += bytes;
    return true;
  }

  decltype(&cuMemGetAllocationGranularity) granularity =
      driver_function<decltype(granularity)>("cuMemGetAllocationGranularity");
  decltype(&cuMemAddressReserve) reserve =
      driver_function<decltype(reserve)>("cuMemAddressReserve");
  decltype(&cuMemAddressFree) unreserve = driver_function<decltype(unreserve)>("cuMemAddressFree");
  decltype(&cuMemCreate) create = driver_function<decltype(create)>("cuMemCreate");
  decltype(&cuMemRelease) release = driver_function<decltype(release)>("cuMemRelease");
  decltype(&cuMemMap) map = driver_function<decltype(map)>("cuMemMap");
  decltype(&cuMemUnmap) unmap = driver_function<decltype(unmap)>("cuMemUnmap");
  decltype(&cuMemSetAccess) allow = driver_function<decltype(allow)>("cuMemSetAccess");

  CUmemAllocationProp kind_ = {};
  CUdeviceptr begin_ = 0;
  std::size_t grain_ = 0, capacity_ = 0, usable_ = 0;
  std::vector<std::size_t> pieces_;  // bytes of each
};

}  // namespace

std::unique_ptr<Pool> make_device_pool(int device) {
  return std::make_unique<ArenaPool>(std::make_unique<DeviceRegion>(device));
}

}  // namespace trireme::kernels
