#include "kernels/arena_pool.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "kernels/check.h"

namespace trireme::kernels {
namespace {

constexpr std::size_t kGrain = 512;  // bytes; what any load of a device is aligned to, and more

// What memory that one can do without leaves on the device: to its libraries, and to what
// operations take for a moment.
constexpr std::size_t kSpare = std::size_t{1} << 30;

std::size_t rounded(std::size_t bytes) {
  return (std::max(bytes, std::size_t{1}) + kGrain - 1) / kGrain * kGrain;
}

}  // namespace

void* ArenaPool::allocate(std::size_t bytes, Stream& stream, Category category) {
  const std::size_t size = rounded(bytes);
  const std::lock_guard lock(mutex_);
  if (!home_) home_ = &stream;
  std::byte* data = place(size, stream, 0);
  if (!data) data = take_from_others(size, stream);
  if (!data) throw DeviceError(account_.shortage(bytes));
  account(bytes, category);
  return data;
}

void* ArenaPool::try_allocate(std::size_t bytes, Stream& stream, Category category) {
  const std::lock_guard lock(mutex_);
  std::byte* const data = place(rounded(bytes), stream, kSpare);
  if (data) account(bytes, category);
  return data;
}

void ArenaPool::release(void* data, std::size_t bytes, Stream& stream, Category category) {
  const std::lock_guard lock(mutex_);
  const auto offset = static_cast<std::size_t>(static_cast<std::byte*>(data) - region_->begin());
  add_gap(offset, {.size = rounded(bytes), .last = &stream, .done = mark(stream)});
  account_.add(category, -static_cast<std::int64_t>(bytes));
}

void ArenaPool::forget(const Stream& stream) {
  const std::lock_guard lock(mutex_);
  if (home_ == &stream) home_ = nullptr;
  for (auto& [offset, gap] : gaps_) {
    if (gap.last == &stream) gap = {.size = gap.size, .last = nullptr, .done = nullptr};
  }
  join_unused();
}

MemoryUse ArenaPool::use() const {
  const std::lock_guard lock(mutex_);
  return account_.use();
}

void ArenaPool::reset_peaks() {
  const std::lock_guard lock(mutex_);
  account_.reset_peaks();
}

std::byte* ArenaPool::place(std::size_t size, Stream& stream, std::size_t spare) {
  const auto found = std::ranges::find_if(gaps_, [&](const auto& entry) {
    const Gap& gap = entry.second;
    return gap.size >= size && (gap.last == nullptr || gap.last == &stream);
  });
  return found != gaps_.end() ? take(found, size) : extend(size, stream, spare);
}

std::byte* ArenaPool::take(Gaps::iterator found, std::size_t size) {
  auto [offset, gap] = *found;
  gaps_.erase(found);
  if (gap.size > size) {
    gap.size -= size;
    gaps_.emplace(offset + size, std::move(gap));
  }
  return region_->begin() + offset;
}

// Beyond the end, from the beginning of the gap there if the stream may use it.
std::byte* ArenaPool::extend(std::size_t size, Stream& stream, std::size_t spare) {
  std::size_t offset = end_;
  auto last = gaps_.empty() ? gaps_.end() : std::prev(gaps_.end());
  const bool continues = last != gaps_.end() && last->first + last->second.size == end_ &&
                         (last->second.last == nullptr || last->second.last == &stream);
  if (continues) offset = last->first;
  if (!region_->grow_to(offset + size, spare)) return nullptr;
  if (continues) gaps_.erase(last);
  end_ = offset + size;
  return region_->begin() + offset;
}

// The lowest neighboring gaps that have room together, or would have it with more behind them.
std::byte* ArenaPool::take_from_others(std::size_t size, Stream& stream) {
  for (auto first = gaps_.begin(); first != gaps_.end();) {
    const std::size_t begin = first->first;
    std::size_t end = begin;
    auto last = first;
    for (; last != gaps_.end() && last->first == end && end - begin < size; ++last) {
      end += last->second.size;
    }
    if (end - begin >= size || (end == end_ && region_->grow_to(begin + size, 0))) {
      return take_run(first, last, size, stream);
    }
    first = last;
  }
  return nullptr;
}

std::byte* ArenaPool::take_run(Gaps::iterator first, Gaps::iterator last, std::size_t size,
                               Stream& stream) {
  const std::size_t begin = first->first;
  std::size_t end = begin;
  for (auto gap = first; gap != last; ++gap) {
    end += gap->second.size;
    Stream* const owner = gap->second.last;
    if (!owner || owner == &stream) continue;
    stream.wait_for(gap->second.done ? gap->second.done : owner->record());
  }
  gaps_.erase(first, last);
  end_ = std::max(end_, begin + size);
  if (end > begin + size) {
    add_gap(begin + size, {.size = end - begin - size, .last = &stream, .done = mark(stream)});
  }
  return region_->begin() + begin;
}

std::shared_ptr<const Event> ArenaPool::mark(Stream& stream) const {
  if (&stream == home_) return nullptr;
  try {
    return stream.record();
  } catch (const DeviceError&) {
    return nullptr;  // the device is lost: a destructor is not the one to say so
  }
}

// Neighbors that one stream may use become one; what it gave back last, it is done with last.
void ArenaPool::add_gap(std::size_t offset, Gap gap) {
  const auto joins = [&](const Gap& other) {
    if (gap.last && other.last && gap.last != other.last) return false;
    gap.size += other.size;
    if (!gap.last) {
      gap.last = other.last;
      gap.done = other.done;
    }
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
  gaps_.emplace(offset, std::move(gap));
}

// Neighbors of which at most one was used: of two, nobody knows which their stream was done with
// last.
void ArenaPool::join_unused() {
  for (auto at = gaps_.begin(); at != gaps_.end(); ++at) {
    Gap& gap = at->second;
    auto next = std::next(at);
    while (next != gaps_.end() && at->first + gap.size == next->first &&
           (!gap.last || !next->second.last)) {
      const std::size_t size = gap.size + next->second.size;
      if (!gap.last) gap = next->second;
      gap.size = size;
      next = gaps_.erase(next);
    }
  }
}

void ArenaPool::account(std::size_t bytes, Category category) {
  account_.set_reserved(static_cast<std::int64_t>(region_->usable()));
  account_.add(category, static_cast<std::int64_t>(bytes));
}

}  // namespace trireme::kernels
