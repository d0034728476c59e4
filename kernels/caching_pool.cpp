#include "kernels/caching_pool.h"

#include <algorithm>
#include <bit>

#include "kernels/check.h"

namespace trireme::kernels {
namespace {

constexpr std::size_t kCacheLine = 64;

// Eight classes per power of two: at most an eighth of a block is wasted.
std::size_t size_class(std::size_t bytes) {
  const std::size_t power = std::bit_floor(std::max(bytes, std::size_t{8} * kCacheLine));
  const std::size_t step = power / 8;
  return (std::max(bytes, kCacheLine) + step - 1) / step * step;
}

}  // namespace

CachingPool::~CachingPool() {
  for (const auto& [data, size] : blocks_) source_->free(data);
}

void* CachingPool::allocate(std::size_t bytes, Stream& stream, Category category) {
  void* const data = try_allocate(bytes, stream, category);
  if (data) return data;
  std::lock_guard lock(mutex_);
  throw DeviceError(account_.shortage(bytes));
}

void* CachingPool::try_allocate(std::size_t bytes, Stream& stream, Category category) {
  const std::size_t size = size_class(bytes);
  std::lock_guard lock(mutex_);
  void* data = cached(size, &stream);
  if (!data) data = cached(size, nullptr);
  if (!data) {
    data = source_->allocate(size);
    if (!data) return nullptr;
    blocks_.emplace(data, size);
    account_.set_reserved(account_.use().reserved + static_cast<std::int64_t>(size));
  }
  account_.add(category, static_cast<std::int64_t>(bytes));
  return data;
}

void CachingPool::release(void* data, std::size_t bytes, Stream& stream, Category category) {
  std::lock_guard lock(mutex_);
  free_[&stream][blocks_.at(data)].push_back(data);
  account_.add(category, -static_cast<std::int64_t>(bytes));
}

void CachingPool::forget(const Stream& stream) {
  std::lock_guard lock(mutex_);
  auto left = free_.extract(&stream);
  if (!left) return;
  for (auto& [size, blocks] : left.mapped()) {
    auto& unused = free_[nullptr][size];
    unused.insert(unused.end(), blocks.begin(), blocks.end());
  }
}

MemoryUse CachingPool::use() const {
  std::lock_guard lock(mutex_);
  return account_.use();
}

void CachingPool::reset_peaks() {
  std::lock_guard lock(mutex_);
  account_.reset_peaks();
}

void* CachingPool::cached(std::size_t size, const Stream* stream) {
  const auto of_stream = free_.find(stream);
  if (of_stream == free_.end()) return nullptr;
  const auto blocks = of_stream->second.find(size);
  if (blocks == of_stream->second.end() || blocks->second.empty()) return nullptr;
  void* data = blocks->second.back();
  blocks->second.pop_back();
  return data;
}

}  // namespace trireme::kernels
