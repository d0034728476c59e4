#include "runtime/comm/nccl/nccl_watch.h"

#include <algorithm>
#include <utility>

#include "kernels/check.h"
#include "runtime/comm/communicator.h"

namespace trireme::runtime {
namespace {

constexpr std::chrono::milliseconds kInterval{20};

// So is everything on a device that is lost, as whoever waits for a stream of it is told.
bool is_reached(const kernels::Event& event) {
  try {
    return event.reached();
  } catch (const kernels::DeviceError&) {
    return true;
  }
}

std::string text_of(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& error) {
    return error.what();
  }
}

}  // namespace

NcclWatch::NcclWatch(std::chrono::milliseconds patience, LastResort::End last_resort)
    : last_resort_(patience, std::move(last_resort)), worker_([this] { work(); }) {}

NcclWatch::~NcclWatch() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  worker_.join();
}

void NcclWatch::add(Operation operation) {
  const std::lock_guard lock(mutex_);
  under_way_[operation.stream].push_back({.operation = std::move(operation), .began = {}});
}

void NcclWatch::join(std::shared_ptr<NcclGroup> group) {
  const std::lock_guard lock(mutex_);
  groups_.push_back(std::move(group));
}

void NcclWatch::leave(const std::shared_ptr<NcclGroup>& group) {
  const std::lock_guard lock(mutex_);
  // Nobody leaves a lost group in good order.
  if (const auto failure = failure_of_groups()) give_up(failure);
  for (auto& [stream, queue] : under_way_) {
    std::erase_if(queue, [&](const Watched& watched) { return watched.operation.group == group; });
  }
  drop_done();
  std::erase(groups_, group);
}

void NcclWatch::work() {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, kInterval, [this] { return ending_; })) look();
}

void NcclWatch::look() {
  last_resort_.alive();
  drop_done();
  for (auto& [stream, queue] : under_way_) {
    if (const auto why = failure_of(queue.front())) {
      return give_up(std::make_exception_ptr(CommunicationError(*why)));
    }
  }
  if (const auto failure = failure_of_groups()) give_up(failure);
}

void NcclWatch::drop_done() {
  for (auto& [stream, queue] : under_way_) {
    while (!queue.empty() && is_reached(*queue.front().operation.end)) queue.pop_front();
  }
  std::erase_if(under_way_, [](const auto& entry) { return entry.second.empty(); });
}

std::optional<std::string> NcclWatch::failure_of(Watched& first) {
  if (const auto error = first.operation.group->error_of_peers()) return error;
  if (!first.began) {
    if (is_reached(*first.operation.begin)) first.began = Clock::now();
    return std::nullopt;
  }
  const NcclGroup::Place& place = first.operation.group->place();
  if (Clock::now() - *first.began < place.timeout) return std::nullopt;
  return "rank " + std::to_string(place.rank) + " of group " + place.name + " waited " +
         std::to_string(place.timeout.count()) + " ms for its peers in " + first.operation.name;
}

std::exception_ptr NcclWatch::failure_of_groups() const {
  for (const auto& group : groups_) {
    if (const auto failure = group->failure()) return failure;
  }
  return nullptr;
}

// Streams are told before their kernels end, so that nobody takes what these left for a result.
void NcclWatch::give_up(const std::exception_ptr& failure) {
  last_resort_.expect(text_of(failure) + ", and giving up hangs");
  drop_done();
  for (auto& [stream, queue] : under_way_) queue.front().operation.fail(failure);
  under_way_.clear();
  NcclGroup::abandon(std::exchange(groups_, {}), failure);
}

}  // namespace trireme::runtime
