#include "nccl.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/cpu/host_stream.h"
#include "runtime/comm/host_sum.h"

std::atomic<bool> nccl_peers_are_lost = false, nccl_aborts_hang = false;

namespace {

using trireme::kernels::Dtype;
using Bytes = std::vector<std::byte>;

// What the ranks of a communicator share: messages on their way.
struct Meeting {
  std::mutex mutex;
  std::condition_variable changed;
  int arrived = 0;
  std::map<std::pair<int, int>, std::deque<Bytes>> mail;  // by (from, to)
};

std::mutex meetings_mutex;
std::map<int, std::weak_ptr<Meeting>> meetings;  // by id
std::atomic<int> last_id = 0;

std::shared_ptr<Meeting> meeting_of(const ncclUniqueId& id) {
  int number = 0;
  std::memcpy(&number, id.internal, sizeof number);
  const std::lock_guard lock(meetings_mutex);
  auto meeting = meetings[number].lock();
  if (!meeting) meetings[number] = meeting = std::make_shared<Meeting>();
  return meeting;
}

std::size_t width_of(ncclDataType_t type) {
  switch (type) {
    case ncclUint8: return 1;
    case ncclFloat16:
    case ncclBfloat16: return 2;
    case ncclFloat64: return 8;
    default: return 4;
  }
}

Dtype dtype_of(ncclDataType_t type) {
  switch (type) {
    case ncclInt32: return Dtype::i32;
    case ncclFloat16: return Dtype::f16;
    case ncclBfloat16: return Dtype::bf16;
    case ncclFloat64: return Dtype::f64;
    default: return Dtype::f32;
  }
}

const std::byte* bytes(const void* data) { return static_cast<const std::byte*>(data); }
std::byte* bytes(void* data) { return static_cast<std::byte*>(data); }

}  // namespace

struct NcclOnCpu {
  std::shared_ptr<Meeting> meeting;
  int rank = 0, size = 1;
  std::atomic<bool> aborted = false;

  struct Step {
    cudaStream_t stream;
    std::function<void(NcclOnCpu&)> work;
  };
  std::vector<Step> sends, receives;  // of the operation that is being asked for

  void send(int to, const std::byte* data, std::size_t count) const {
    const std::lock_guard lock(meeting->mutex);
    meeting->mail[{rank, to}].emplace_back(data, data + count);
    meeting->changed.notify_all();
  }

  // Nothing when the communicator was aborted.
  Bytes receive(int from) const {
    std::unique_lock lock(meeting->mutex);
    auto& box = meeting->mail[{from, rank}];
    meeting->changed.wait(lock, [&] { return aborted || !box.empty(); });
    if (box.empty()) return {};
    Bytes message = std::move(box.front());
    box.pop_front();
    return message;
  }

  void receive(int from, std::byte* to) const {
    const Bytes message = receive(from);
    std::ranges::copy(message, to);
  }
};

namespace {

// Handles may be used by what is still on a stream when their owner is done with them.
std::shared_ptr<NcclOnCpu> keep(ncclComm_t communicator) {
  static std::mutex mutex;
  static std::map<ncclComm_t, std::shared_ptr<NcclOnCpu>> all;
  const std::lock_guard lock(mutex);
  auto& found = all[communicator];
  if (!found) found.reset(communicator);
  return found;
}

thread_local std::vector<ncclComm_t> asked;  // since ncclGroupStart

void ask(ncclComm_t communicator, std::vector<NcclOnCpu::Step>& steps, cudaStream_t stream,
         std::function<void(NcclOnCpu&)> work) {
  steps.push_back({.stream = stream, .work = std::move(work)});
  if (std::ranges::find(asked, communicator) == asked.end()) asked.push_back(communicator);
}

// Everything is sent before anything is waited for.
void start(NcclOnCpu& communicator) {
  const auto kept = keep(&communicator);
  for (auto* steps : {&communicator.sends, &communicator.receives}) {
    for (auto& step : *steps) {
      step.stream->queue.enqueue([kept, work = std::move(step.work)] { work(*kept); });
    }
    steps->clear();
  }
}

// Every rank's data, added up in the order of the ranks.
void add_all(NcclOnCpu& group, std::byte* to, std::size_t count, ncclDataType_t type) {
  for (int from = 0; from < group.size; ++from) {
    const Bytes message = group.receive(from);
    if (message.empty()) return;
    if (from == 0) std::ranges::copy(message, to);
    if (from > 0) {
      trireme::runtime::add_on_host(dtype_of(type), to, message.data(),
                                    static_cast<std::int64_t>(count));
    }
  }
}

}  // namespace

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  const int number = ++last_id;
  std::memcpy(id->internal, &number, sizeof number);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* communicator, int size, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  if (config->blocking != 1 || size < 2) return ncclInvalidUsage;
  *communicator = new NcclOnCpu;
  const auto kept = keep(*communicator);
  kept->meeting = meeting_of(id);
  kept->rank = rank;
  kept->size = size;
  std::unique_lock lock(kept->meeting->mutex);
  ++kept->meeting->arrived;
  kept->meeting->changed.notify_all();
  kept->meeting->changed.wait(lock, [&] { return kept->meeting->arrived >= size; });
  return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t, ncclResult_t* status) {
  *status = nccl_peers_are_lost ? ncclRemoteError : ncclSuccess;
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t) { return ncclSuccess; }
ncclResult_t ncclCommDestroy(ncclComm_t) { return ncclSuccess; }
ncclResult_t ncclCommAbort(ncclComm_t communicator) {
  while (nccl_aborts_hang) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  communicator->aborted = true;
  const std::lock_guard lock(communicator->meeting->mutex);
  communicator->meeting->changed.notify_all();
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t status) {
  return status == ncclRemoteError ? "remote process exited or there was a network error" : "error";
}
const char* ncclGetLastError(ncclComm_t) { return ""; }

ncclResult_t ncclGroupStart() {
  asked.clear();
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  for (const ncclComm_t communicator : asked) start(*communicator);
  return ncclSuccess;
}

ncclResult_t ncclBroadcast(const void* from, void* to, std::size_t count, ncclDataType_t type,
                           int root, ncclComm_t communicator, cudaStream_t stream) {
  const std::size_t size = count * width_of(type);
  if (communicator->rank == root) {
    ask(communicator, communicator->sends, stream, [=](NcclOnCpu& group) {
      for (int peer = 0; peer < group.size; ++peer) group.send(peer, bytes(from), size);
    });
  }
  ask(communicator, communicator->receives, stream,
      [=](NcclOnCpu& group) { group.receive(root, bytes(to)); });
  return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void* from, void* to, std::size_t count, ncclDataType_t type,
                           ncclRedOp_t, ncclComm_t communicator, cudaStream_t stream) {
  ask(communicator, communicator->sends, stream, [=](NcclOnCpu& group) {
    for (int peer = 0; peer < group.size; ++peer) {
      group.send(peer, bytes(from), count * width_of(type));
    }
  });
  ask(communicator, communicator->receives, stream,
      [=](NcclOnCpu& group) { add_all(group, bytes(to), count, type); });
  return ncclSuccess;
}

ncclResult_t ncclReduceScatter(const void* from, void* to, std::size_t count, ncclDataType_t type,
                               ncclRedOp_t, ncclComm_t communicator, cudaStream_t stream) {
  ask(communicator, communicator->sends, stream, [=](NcclOnCpu& group) {
    const std::size_t part = count * width_of(type);
    for (int peer = 0; peer < group.size; ++peer) {
      group.send(peer, bytes(from) + static_cast<std::size_t>(peer) * part, part);
    }
  });
  ask(communicator, communicator->receives, stream,
      [=](NcclOnCpu& group) { add_all(group, bytes(to), count, type); });
  return ncclSuccess;
}

ncclResult_t ncclAllGather(const void* from, void* to, std::size_t count, ncclDataType_t type,
                           ncclComm_t communicator, cudaStream_t stream) {
  const std::size_t part = count * width_of(type);
  ask(communicator, communicator->sends, stream, [=](NcclOnCpu& group) {
    for (int peer = 0; peer < group.size; ++peer) group.send(peer, bytes(from), part);
  });
  ask(communicator, communicator->receives, stream, [=](NcclOnCpu& group) {
    for (int peer = 0; peer < group.size; ++peer) {
      group.receive(peer, bytes(to) + static_cast<std::size_t>(peer) * part);
    }
  });
  return ncclSuccess;
}

ncclResult_t ncclSend(const void* from, std::size_t count, ncclDataType_t type, int peer,
                      ncclComm_t communicator, cudaStream_t stream) {
  ask(communicator, communicator->sends, stream,
      [=](NcclOnCpu& group) { group.send(peer, bytes(from), count * width_of(type)); });
  return ncclSuccess;
}

ncclResult_t ncclRecv(void* to, std::size_t, ncclDataType_t, int peer, ncclComm_t communicator,
                      cudaStream_t stream) {
  ask(communicator, communicator->receives, stream,
      [=](NcclOnCpu& group) { group.receive(peer, bytes(to)); });
  return ncclSuccess;
}
