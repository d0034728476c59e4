#include "runtime/comm/nccl/nccl_watch.h"

#include <algorithm>
#include <utility>

#include "runtime/comm/communicator.h"

namespace trireme::runtime {
namespace {

constexpr std::chrono::milliseconds kInterval{20};

}  // namespace

NcclWatch::NcclWatch() : worker_([this] { work(); }) {}

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

void NcclWatch::work() {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, kInterval, [this] { return ending_; })) look();
}

void NcclWatch::look() {
  std::vector<std::pair<std::shared_ptr<NcclGroup>, std::string>> failures;
  for (auto& [stream, queue] : under_way_) {
    while (!queue.empty() && queue.front().operation.end->reached()) queue.pop_front();
    if (queue.empty()) continue;
    if (const auto why = failure_of(queue.front())) {
      failures.emplace_back(queue.front().operation.group, *why);
    }
  }
  std::erase_if(under_way_, [](const auto& entry) { return entry.second.empty(); });
  for (const auto& [group, why] : failures) give_up(group, why);
}

std::optional<std::string> NcclWatch::failure_of(Watched& first) {
  if (const auto error = first.operation.group->error_of_peers()) return error;
  if (!first.began) {
    if (first.operation.begin->reached()) first.began = Clock::now();
    return std::nullopt;
  }
  const NcclGroup::Place& place = first.operation.group->place();
  if (Clock::now() - *first.began < place.timeout) return std::nullopt;
  return "rank " + std::to_string(place.rank) + " of group " + place.name + " waited " +
         std::to_string(place.timeout.count()) + " ms for its peers in " + first.operation.name;
}

// Streams are told before their kernels end, so that nobody takes what these left for a result.
void NcclWatch::give_up(const std::shared_ptr<NcclGroup>& group, const std::string& why) {
  const auto failure = std::make_exception_ptr(CommunicationError(why));
  for (auto& [stream, queue] : under_way_) {
    const bool waits = std::ranges::any_of(
        queue, [&](const Watched& watched) { return watched.operation.group == group; });
    if (waits) queue.front().operation.stream->fail(failure);
    std::erase_if(queue, [&](const Watched& watched) { return watched.operation.group == group; });
  }
  group->abandon(failure);
}

}  // namespace trireme::runtime
