#include "runtime/comm/nccl/nccl_group.h"

#include <utility>

#include "runtime/comm/communicator.h"
#include "runtime/comm/patience.h"

namespace trireme::runtime {
namespace {

// Blocks of a kernel. A rank is in a few groups at once: pipeline channels both ways, tensor, data.
// Together they fit on any GPU this is built for, so a kernel that waits for a peer cannot keep out
// the one that the peer waits for. NCCL_MAX_CTAS is stronger.
constexpr int kMostBlocks = 16;

}  // namespace

NcclGroup::NcclGroup(const ncclUniqueId& id, Place place) : place_(std::move(place)) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  config.maxCTAs = kMostBlocks;
  config.commName = place_.name.c_str();
  settle("making the group",
         ncclCommInitRankConfig(&communicator_, place_.size, id, place_.rank, &config));
}

NcclGroup::~NcclGroup() {
  const std::lock_guard lock(mutex_);
  if (!communicator_) return;
  try {
    settle("leaving the group", ncclCommFinalize(communicator_));
    ncclCommDestroy(communicator_);
  } catch (const CommunicationError&) {
    // It was given up, and nobody waits for it any more.
  }
}

void NcclGroup::enqueue(const char* operation,
                        const std::function<void(ncclComm_t, const Check& check)>& calls) {
  const std::lock_guard lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
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

void NcclGroup::abandon(std::exception_ptr failure) {
  const std::lock_guard lock(mutex_);
  if (!failure_) failure_ = std::move(failure);
  if (communicator_) ncclCommAbort(std::exchange(communicator_, nullptr));
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
    if (!patience.wait()) {
      lose("rank " + std::to_string(place_.rank) + " of group " + place_.name + " waited " +
           std::to_string(place_.timeout.count()) + " ms for its peers in " + operation);
    }
    const ncclResult_t asked = ncclCommGetAsyncError(communicator_, &status);
    if (asked != ncclSuccess) status = asked;
  }
  if (status != ncclSuccess) lose(text_of(operation, status));
}

void NcclGroup::lose(const std::string& why) {
  failure_ = std::make_exception_ptr(CommunicationError(why));
  if (communicator_) ncclCommAbort(std::exchange(communicator_, nullptr));
  std::rethrow_exception(failure_);
}

}  // namespace trireme::runtime
