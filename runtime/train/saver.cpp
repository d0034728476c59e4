#include "runtime/train/saver.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <utility>

#include "checkpoints/error.h"
#include "kernels/log.h"
#include "runtime/comm/texts.h"

namespace trireme::runtime {
namespace {

using checkpoints::CheckpointError;
using checkpoints::Fault;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// How a part went, as text: what came of it, or what failed.
std::string done(const std::string& result) { return "+" + result; }
std::string failed(const std::string& why) { return "-" + why; }
bool is_done(const std::string& message) { return message.starts_with("+"); }

}  // namespace

Saver::Saver(kernels::Backend& backend, kernels::Stream& compute, Peers peers, RankState& state,
             const checkpoints::Store& store, const checkpoints::Disk& disk, SaverOptions options,
             Observer observer)
    : backend_(backend),
      compute_(compute),
      peers_(std::move(peers)),
      stream_(peers_.backend.make_stream()),
      state_(state),
      store_(store),
      disk_(disk),
      options_(std::move(options)),
      observer_(std::move(observer)),
      worker_([this] { work(); }) {}

Saver::~Saver() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  worker_.join();
}

void Saver::save(checkpoints::RunState run) {
  const auto start = Clock::now();
  Task task{.run = std::move(run), .buffer = 0, .no_copy = {}, .stall_seconds = 0, .start = start};
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return failure_ || !taken_[0] || !taken_[1]; });
    if (failure_) {
      if (lost_peers_) std::rethrow_exception(failure_);
      return;  // all ranks are about to stop
    }
    task.buffer = taken_[0] ? 1 : 0;
    taken_[task.buffer] = true;
  }
  task.no_copy = copy_to(task.buffer);
  task.stall_seconds = seconds_since(start);
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  changed_.notify_all();
  if (!options_.asynchronous) finish();
}

void Saver::finish() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return tasks_.empty() && !busy_; });
  if (failure_) std::rethrow_exception(failure_);
}

std::span<std::byte> Saver::buffer(std::size_t number) {
  auto& memory = buffers_[number];
  if (!memory) memory = backend_.host_memory(state_.bytes());
  return {memory.get(), state_.bytes()};
}

std::string Saver::copy_to(std::size_t number) {
  std::span<std::byte> memory;
  try {
    memory = buffer(number);
  } catch (const std::exception& error) {
    return "no memory for a copy of the state to save, " + std::to_string(state_.bytes()) +
           " bytes: " + error.what();
  }
  state_.copy(memory);
  compute_.synchronize();
  return "";
}

// The system gives memory when it is first touched, a page at a time: not while training waits.
// Where it gives none, the first save asks again, and fails as a save does.
void Saver::prepare() {
  try {
    std::ranges::fill(buffer(0), std::byte{0});
  } catch (const std::exception& error) {
    kernels::log().warn("no memory yet for a copy of the state to save: {}", error.what());
  }
  const std::lock_guard lock(mutex_);
  taken_[0] = false;
  changed_.notify_all();
}

void Saver::work() {
  prepare();
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return ending_ || !tasks_.empty(); });
    if (tasks_.empty()) return;
    const Task task = std::move(tasks_.front());
    tasks_.pop_front();
    busy_ = true;
    const bool failed_before = failure_ != nullptr;
    lock.unlock();
    std::exception_ptr failure;
    bool lost_peers = false;
    try {
      // All ranks know of a failure after the same save, so all of them leave the next ones out.
      if (!failed_before) write(task);
    } catch (const CommunicationError&) {
      failure = std::current_exception();
      lost_peers = true;
    } catch (const std::exception&) {
      failure = std::current_exception();
    }
    if (failure && peers_.group->rank() == 0) {
      store_.discard(store_.attempt_of(task.run.progress.step));
    }
    lock.lock();
    lost_peers_ = lost_peers_ || lost_peers;
    if (failure) failure_ = failure;
    taken_[task.buffer] = false;
    busy_ = false;
    changed_.notify_all();
    if (failure && observer_.failed) observer_.failed();
  }
}

std::string Saver::shard_name() const {
  char name[64];
  std::snprintf(name, sizeof name, "shard-%05d-of-%05d.h5", peers_.group->rank(),
                peers_.group->size());
  return name;
}

void Saver::agree(const std::function<std::string()>& part, std::vector<std::string>* results) {
  std::string mine;
  try {
    mine = done(part());
  } catch (const std::exception& error) {
    mine = failed(error.what());
  }
  std::vector<std::string> all = gather_texts(peers_.backend, *stream_, *peers_.group, mine);
  std::string verdict = done("");
  for (std::size_t r = 0; r < all.size(); ++r) {
    if (is_done(all[r])) continue;
    verdict = failed("rank " + std::to_string(r) + ": " + all[r].substr(1));
    break;
  }
  verdict = broadcast_text(peers_.backend, *stream_, *peers_.group, verdict);
  if (!is_done(verdict)) throw CheckpointError(Fault::io, verdict.substr(1));
  if (results) {
    for (std::string& text : all) text.erase(0, 1);
    *results = std::move(all);
  }
}

// The new checkpoint is good whether or not an old one can be removed: someone may be reading it.
std::vector<std::int64_t> Saver::prune() const {
  try {
    return store_.prune(options_.keep, options_.keep_every);
  } catch (const std::exception& error) {
    kernels::log().warn("older checkpoints stay: {}", error.what());
    return {};
  }
}

void Saver::write(const Task& task) {
  const bool leads = peers_.group->rank() == 0;
  const std::int64_t step = task.run.progress.step;
  agree([&] { return leads ? store_.begin(step).string() : std::string(); }, nullptr);
  const std::filesystem::path attempt = store_.attempt_of(step);
  std::vector<std::string> reports;
  agree(
      [&] {
        if (!task.no_copy.empty()) throw CheckpointError(Fault::io, task.no_copy);
        const auto slices = state_.slices(buffer(task.buffer));
        if (slices.empty()) return std::string();
        return checkpoints::report_text(
            checkpoints::write_shard(disk_, attempt / shard_name(), slices));
      },
      &reports);
  SavedCheckpoint saved{.step = step,
                        .path = store_.path_of(step),
                        .stall_seconds = task.stall_seconds,
                        .removed = {}};
  agree(
      [&] {
        if (!leads) return std::string();
        checkpoints::Manifest manifest{.program = options_.program,
                                       .written = checkpoints::utc_now(),
                                       .config = options_.config,
                                       .state = task.run,
                                       .files = {},
                                       .tensors = {}};
        std::vector<checkpoints::ShardReport> parts;
        for (const std::string& report : reports) {
          if (!report.empty()) parts.push_back(checkpoints::parse_report(report));
        }
        checkpoints::merge_reports(manifest, parts);
        store_.commit(attempt, manifest);
        saved.bytes = manifest.bytes();
        saved.seconds = seconds_since(task.start);
        return std::string();
      },
      nullptr);
  last_seconds_ = seconds_since(task.start);
  if (!leads) return;
  saved.removed = prune();
  if (observer_.saved) observer_.saved(saved);
}

}  // namespace trireme::runtime
