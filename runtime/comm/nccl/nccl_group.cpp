#include "runtime/comm/nccl/nccl_group.h"

#include <cuda_runtime.h>

#include <exception>
#include <future>
#include <thread>
#include <utility>

#include "runtime/comm/communicator.h"

namespace trireme::runtime {
namespace {

// Blocks of a kernel, each of which keeps a multiprocessor while it waits for a peer. A rank is in
// up to three groups that add at once (tensor, data, and the ends of a pipeline), and with V-shaped
// schedules in eight channels: together they leave most of any GPU this is built for to the
// computation, so a kernel that waits cannot keep out the one that its peer waits for.
// NCCL_MAX_CTAS is stronger.
constexpr int kMostBlocks = 16;
constexpr int kMostBlocksOfMessages = 4;

int current_device() {
  int device = 0;
  cudaGetDevice(&device);
  return device;
}

// Memory and a stream of a thread that may be left behind: of nobody's backend.
struct Own {
  cudaStream_t stream = nullptr;
  std::int32_t* numbers = nullptr;

  explicit Own(std::size_t count) {
    void* memory = nullptr;
    if (cudaMalloc(&memory, count * sizeof(std::int32_t)) != cudaSuccess) return;
    numbers = static_cast<std::int32_t*>(memory);
    cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, 0);
  }
  Own(const Own&) = delete;
  Own& operator=(const Own&) = delete;
  ~Own() {
    if (stream) cudaStreamDestroy(stream);
    cudaFree(numbers);
  }
};

}  // namespace

// Shared with the thread that makes the communicator, which nobody may be waiting for any more.
struct NcclGroup::Made {
  ncclUniqueId id;
  Place place;
  int device;
  ncclComm_t communicator = nullptr;

  ncclResult_t make() {
    cudaSetDevice(device);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 1;
    config.maxCTAs = place.only_messages ? kMostBlocksOfMessages : kMostBlocks;
    config.commName = place.name.c_str();
    const ncclResult_t made =
        ncclCommInitRankConfig(&communicator, place.size, id, place.rank, &config);
    return made == ncclSuccess ? connect() : made;
  }

  // NCCL connects two ranks when they first exchange something, and the host waits for that: in the
  // middle of a step, two ranks that post in different orders would wait for each other.
  ncclResult_t connect() const {
    const Own own(4);
    if (!own.stream) return ncclUnhandledCudaError;
    const int next = (place.rank + 1) % place.size;
    const int previous = (place.rank + place.size - 1) % place.size;
    ncclGroupStart();
    ncclSend(own.numbers, 1, ncclInt32, next, communicator, own.stream);
    ncclSend(own.numbers + 1, 1, ncclInt32, previous, communicator, own.stream);
    ncclRecv(own.numbers + 2, 1, ncclInt32, previous, communicator, own.stream);
    ncclRecv(own.numbers + 3, 1, ncclInt32, next, communicator, own.stream);
    const ncclResult_t connected = ncclGroupEnd();
    if (connected != ncclSuccess) return connected;
    return cudaStreamSynchronize(own.stream) == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
  }
};

NcclGroup::NcclGroup(const ncclUniqueId& id, Place place) : place_(std::move(place)) {
  made_ = std::make_shared<Made>(Made{.id = id, .place = place_, .device = current_device()});
  std::packaged_task<ncclResult_t()> making([made = made_] { return made->make(); });
  auto status = making.get_future();
  std::thread(std::move(making)).detach();
  if (status.wait_for(place_.timeout) != std::future_status::ready) {
    lose("rank " + std::to_string(place_.rank) + " of group " + place_.name + " waited " +
         std::to_string(place_.timeout.count()) + " ms for its peers in making the group");
  }
  const ncclResult_t found = status.get();
  if (found != ncclSuccess) lose(text_of("making the group", found));
  communicator_ = made_->communicator;
}

NcclGroup::~NcclGroup() {
  const std::lock_guard lock(mutex_);
  if (!communicator_) return;
  // After a failure here, the others do not come to end it in good order.
  const bool fails = failure() || std::uncaught_exceptions() > 0;
  if (fails || ncclCommFinalize(communicator_) != ncclSuccess) {
    ncclCommAbort(communicator_);
  } else {
    ncclCommDestroy(communicator_);
  }
}

void NcclGroup::enqueue(const char* operation,
                        const std::function<void(ncclComm_t, const Check& check)>& calls) {
  throw_failure();  // who gives up holds the lock, for long if the device does not answer
  const std::lock_guard lock(mutex_);
  throw_failure();
  ncclResult_t first = ncclGroupStart();
  calls(communicator_, [&](ncclResult_t status) {
    if (first == ncclSuccess) first = status;
  });
  const ncclResult_t ended = ncclGroupEnd();
  if (first == ncclSuccess) first = ended;
  if (first != ncclSuccess) lose(text_of(operation, first));
}

std::optional<std::string> NcclGroup::error_of_peers() {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock || !communicator_) return std::nullopt;
  ncclResult_t status = ncclSuccess;
  const ncclResult_t asked = ncclCommGetAsyncError(communicator_, &status);
  if (asked != ncclSuccess) status = asked;
  if (status == ncclSuccess) return std::nullopt;
  return text_of("communicating", status);
}

std::exception_ptr NcclGroup::failure() const {
  const std::lock_guard lock(failure_mutex_);
  return failure_;
}

// Told first: nobody begins anything more.
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
