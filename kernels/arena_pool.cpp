#include "kernels/arena_pool.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "kernels/check.h"

namespace trireme::kernels {
namespace {

constexpr std::size_t kGrain = 512;  // bytes; what any load of a device is aligned to, and more

std::size_t rounded(std::size_t bytes) {
  return (std::max(bytes, std::size_t{1}) + kGrain - 1) / kGrain * kGrain;
}

}  // namespace

void* ArenaPool::allocate(std::size_t bytes, Stream& stream, Category category) {
  const std::size_t size = rounded(bytes);
  const std::lock_guard lock(mutex_);
  std::byte* data = place(size, stream);
  if (!data && others_have_gaps(stream)) {
    region_->finish_all_work();
    forget_streams();
    data = place(size, stream);
  }
  if (!data) throw DeviceError(account_.shortage(bytes));
  account_.set_reserved(static_cast<std::int64_t>(region_->usable()));
  account_.add(category, static_cast<std::int64_t>(bytes));
  return data;
}

void ArenaPool::release(void* data, std::size_t bytes, Stream& stream, Category category) {
  const std::lock_guard lock(mutex_);
  const auto offset = static_cast<std::size_t>(static_cast<std::byte*>(data) - region_->begin());
  add_gap(offset, {.size = rounded(bytes), .last = &stream});
  account_.add(category, -static_cast<std::int64_t>(bytes));
}

MemoryUse ArenaPool::use() const {
  const std::lock_guard lock(mutex_);
  return account_.use();
}

void ArenaPool::reset_peaks() {
  const std::lock_guard lock(mutex_);
  account_.reset_peaks();
}

std::byte* ArenaPool::place(std::size_t size, const Stream& stream) {
  const auto found = std::ranges::find_if(gaps_, [&](const auto& entry) {
    const Gap& gap = entry.second;
    return gap.size >= size && (gap.last == nullptr || gap.last == &stream);
  });
  return found != gaps_.end() ? take(found, size) : extend(size, stream);
}

std::byte* ArenaPool::take(Gaps::iterator found, std::size_t size) {
  const auto [offset, gap] = *found;
  gaps_.erase(found);
  if (gap.size > size) {
    gaps_.emplace(offset + size, Gap{.size = gap.size - size, .last = gap.last});
  }
  return region_->begin() + offset;
}

// Beyond the end, from the beginning of the gap there if the stream may use it.
std::byte* ArenaPool::extend(std::size_t size, const Stream& stream) {
  std::size_t offset = end_;
  auto last = gaps_.empty() ? gaps_.end() : std::prev(gaps_.end());
  const bool continues = last != gaps_.end() && last->first + last->second.size == end_ &&
                         (last->second.last == nullptr || last->second.last == &stream);
  if (continues) offset = last->first;
  if (!region_->grow_to(offset + size)) return nullptr;
  if (continues) gaps_.erase(last);
  end_ = offset + size;
  return region_->begin() + offset;
}

// Neighbors that one stream may use become one.
void ArenaPool::add_gap(std::size_t offset, Gap gap) {
  const auto joins = [&](const Gap& other) {
    if (gap.last && other.last && gap.last != other.last) return false;
    gap.size += other.size;
    if (!gap.last) gap.last = other.last;
    return true;
  };
  const auto next = gaps_.find(offset + gap.size);
  if (next != gaps_.end() && joins(next->second)) gaps_.erase(next);
  const auto after = gaps_.lower_bound(offset);
  if (after != gaps_.begin()) {
    const auto before = std::prev(after);
    if (before->first + before->second.size == offset && joins(before->second)) {
      offset = before->first;
      gaps_.erase(before);
    }
  }
  gaps_.emplace(offset, gap);
}

bool ArenaPool::others_have_gaps(const Stream& stream) const {
  return std::ranges::any_of(gaps_, [&](const auto& entry) {
    return entry.second.last != nullptr && entry.second.last != &stream;
  });
}

void ArenaPool::forget_streams() {
  for (const auto& [offset, gap] : std::exchange(gaps_, {})) {
    add_gap(offset, {.size = gap.size, .last = nullptr});
  }
}

}  // namespace trireme::kernels
