#include "runtime/comm/nccl/nccl_group.h"

#include <utility>

#include "runtime/comm/communicator.h"
#include "runtime/comm/patience.h"

namespace trireme::runtime {
namespace {

// Blocks of a kernel, each of which keeps a multiprocessor while it waits for a peer. A rank is in
// up to three groups that add at once (tensor, data, and the ends of a pipeline), and with V-shaped
// schedules in eight channels: together they leave most of any GPU this is built for to the
// computation, so a kernel that waits cannot keep out the one that its peer waits for.
// NCCL_MAX_CTAS is stronger.
constexpr int kMostBlocks = 16;
constexpr int kMostBlocksOfMessages = 4;

}  // namespace

NcclGroup::NcclGroup(const ncclUniqueId& id, Place place) : place_(std::move(place)) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  config.maxCTAs = place_.only_messages ? kMostBlocksOfMessages : kMostBlocks;
  config.commName = place_.name.c_str();
  try {
    settle("making the group",
           ncclCommInitRankConfig(&communicator_, place_.size, id, place_.rank, &config));
  } catch (const CommunicationError&) {
    if (communicator_) ncclCommAbort(communicator_);
    throw;
  }
}

NcclGroup::~NcclGroup() {
  const std::lock_guard lock(mutex_);
  if (!communicator_) return;
  try {
    settle("leaving the group", ncclCommFinalize(communicator_));
    ncclCommDestroy(communicator_);
  } catch (const CommunicationError&) {
    ncclCommAbort(communicator_);
  }
}

void NcclGroup::enqueue(const char* operation,
                        const std::function<void(ncclComm_t, const Check& check)>& calls) {
  const std::lock_guard lock(mutex_);
  throw_failure();
  ncclResult_t first = ncclGroupStart();
  calls(communicator_, [&](ncclResult_t status) {
    if (first == ncclSuccess && status != ncclInProgress) first = status;
  });
  const ncclResult_t ended = ncclGroupEnd();
  settle(operation, first == ncclSuccess ? ended : first);
}

std::optional<std::string> NcclGroup::error_of_peers() {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock || !communicator_) return std::nullopt;
  ncclResult_t status = ncclSuccess;
  const ncclResult_t asked = ncclCommGetAsyncError(communicator_, &status);
  if (asked != ncclSuccess) status = asked;
  if (status == ncclSuccess || status == ncclInProgress) return std::nullopt;
  return text_of("communicating", status);
}

std::exception_ptr NcclGroup::failure() const {
  const std::lock_guard lock(failure_mutex_);
  return failure_;
}

// Told first: who waits for one of them, holding its lock, stops.
void NcclGroup::abandon(const std::vector<std::shared_ptr<NcclGroup>>& groups,
                        const std::exception_ptr& failure) {
  for (const auto& group : groups) group->set_failure(failure);
  std::vector<std::unique_lock<std::mutex>> locks;
  for (const auto& group : groups) locks.emplace_back(group->mutex_);
  ncclGroupStart();
  for (const auto& group : groups) {
    if (group->communicator_) ncclCommAbort(std::exchange(group->communicator_, nullptr));
  }
  ncclGroupEnd();
}

std::string NcclGroup::text_of(const char* operation, ncclResult_t status) const {
  const char* more = ncclGetLastError(communicator_);
  return "rank " + std::to_string(place_.rank) + " of group " + place_.name + ", " + operation +
         ": NCCL: " + ncclGetErrorString(status) + (more && *more ? ": " + std::string(more) : "");
}

// Waits until NCCL is done with what it was asked, on the host.
void NcclGroup::settle(const char* operation, ncclResult_t status) {
  Patience patience(place_.timeout, true);
  while (status == ncclInProgress) {
    throw_failure();
    if (!patience.wait()) {
      lose("rank " + std::to_string(place_.rank) + " of group " + place_.name + " waited " +
           std::to_string(place_.timeout.count()) + " ms for its peers in " + operation);
    }
    const ncclResult_t asked = ncclCommGetAsyncError(communicator_, &status);
    if (asked != ncclSuccess) status = asked;
  }
  if (status != ncclSuccess) lose(text_of(operation, status));
}

void NcclGroup::set_failure(const std::exception_ptr& failure) {
  const std::lock_guard lock(failure_mutex_);
  if (!failure_) failure_ = failure;
}

void NcclGroup::throw_failure() const {
  if (const auto known = failure()) std::rethrow_exception(known);
}

void NcclGroup::lose(const std::string& why) {
  set_failure(std::make_exception_ptr(CommunicationError(why)));
  std::rethrow_exception(failure());
}

}  // namespace trireme::runtime
