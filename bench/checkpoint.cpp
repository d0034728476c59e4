#include "bench/checkpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <memory>

#include "bench/measure.h"
#include "checkpoints/disk.h"
#include "checkpoints/shard_file.h"
#include "checkpoints/store.h"
#include "runtime/comm/numbers.h"
#include "runtime/train/saver.h"

namespace trireme::bench {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kBlock = std::size_t{4} << 20;

// Of this process, in bytes: what it has now, or the most it had since reset_peak.
std::uint64_t memory_of(const char* key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key)) return std::stoull(line.substr(line.find(':') + 1)) * 1024;
  }
  return 0;
}
void reset_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

// What the first checkpoint of a process loads is no memory of the ones that follow.
void save_something_small(const checkpoints::Disk& disk, const fs::path& path) {
  const checkpoints::TensorInfo tensor{.name = "small", .rows = 1, .columns = 1};
  const float value = 1;
  const checkpoints::HostSlice slice{.tensor = &tensor,
                                     .region = {.rows = 1, .columns = 1},
                                     .values = reinterpret_cast<const std::byte*>(&value)};
  checkpoints::write_shard(disk, path, {&slice, 1});
  disk.remove_all(path);
}

// Reads come from the disk, not from memory.
void forget(const fs::path& path) {
  const int file = ::open(path.c_str(), O_RDONLY);
  if (file < 0) return;
  ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
  ::close(file);
}

class Rounds {
 public:
  Rounds(kernels::Backend& backend, runtime::Communicator& world, runtime::Trainer& trainer,
         const CheckpointOptions& options)
      : backend_(backend),
        world_(world),
        trainer_(trainer),
        folder_(options.folder),
        store_(folder_ / "checkpoints", disk_),
        stream_(backend.make_stream()),
        block_(kBlock, std::byte{37}),
        mine_("rank-" + std::to_string(world.rank())),
        memory_before_(prepare()),
        saver_(backend, trainer.compute(), {backend, world.split(0, "checkpoints")},
               trainer.state(), store_, disk_, {.keep = 2}, {}) {
    times_.bytes =
        static_cast<std::uint64_t>(sum_over_ranks(static_cast<double>(trainer.state().bytes())));
  }

  CheckpointTimes run(int rounds) {
    // The first of each takes memory and makes folders.
    for (int round = -1; round < rounds; ++round) {
      // What removes the last round's files is not part of writing new ones.
      disk_.remove_all(folder_ / mine_);
      if (world_.rank() == 0) store_.prune(0, 0);
      const double plain_write = timed([&] { write_plainly(); });
      const auto [save, stall] = save_once(round + 2);
      for (const auto& entry : fs::recursive_directory_iterator(folder_)) forget(entry.path());
      const double plain_read = timed([&] { read_plainly(round + 2); });
      for (const auto& entry : fs::recursive_directory_iterator(folder_)) forget(entry.path());
      const double load = timed([&] { load_once(round + 2); });
      if (round < 0) continue;
      times_.plain_write.push_back(plain_write);
      times_.save.push_back(save);
      times_.stall.push_back(stall);
      times_.plain_read.push_back(plain_read);
      times_.load.push_back(load);
    }
    return times_;
  }

 private:
  std::uint64_t prepare() {
    disk_.make_folder(folder_);
    save_something_small(disk_, folder_ / mine_);
    return memory_of("VmRSS");
  }

  double sum_over_ranks(double number) {
    runtime::sum_numbers(backend_, *stream_, world_, {&number, 1});
    return number;
  }
  double slowest_rank(double seconds) {
    runtime::largest_numbers(backend_, *stream_, world_, {&seconds, 1});
    return seconds;
  }

  // Until the slowest rank is done, all having begun together.
  double timed(const std::function<void()>& work) {
    sum_over_ranks(0);
    const auto start = std::chrono::steady_clock::now();
    work();
    return slowest_rank(seconds_since(start));
  }

  static double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  // What dd bs=4M conv=fsync does.
  void write_plainly() {
    const fs::path path = folder_ / mine_;
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0666);
    for (std::size_t left = trainer_.state().bytes(); left > 0;) {
      const ssize_t count = ::write(file, block_.data(), std::min(left, kBlock));
      kernels::expects(count > 0, "room on the disk to be measured");
      left -= static_cast<std::size_t>(count);
    }
    kernels::expects(::fsync(file) == 0 && ::close(file) == 0, "a disk that can be synced");
  }

  std::pair<double, double> save_once(std::int64_t step) {
    double stall = 0;
    reset_peak();
    const double all = timed([&] {
      const auto start = std::chrono::steady_clock::now();
      saver_.save({.progress = {.step = step}});
      stall = seconds_since(start);
      saver_.finish();
    });
    times_.extra_memory = std::max(times_.extra_memory, memory_of("VmHWM") - memory_before_);
    return {all, slowest_rank(stall)};
  }

  // Its own shard file, as dd bs=4M reads it.
  void read_plainly(std::int64_t step) {
    char name[64];
    std::snprintf(name, sizeof name, "shard-%05d-of-%05d.h5", world_.rank(), world_.size());
    const int file = ::open((store_.path_of(step) / name).c_str(), O_RDONLY);
    while (::read(file, block_.data(), kBlock) > 0) {
    }
    ::close(file);
  }

  void load_once(std::int64_t step) {
    checkpoints::Checkpoint from(store_.path_of(step));
    trainer_.state().load(from, true);
    trainer_.state().adopt();
    trainer_.compute().synchronize();
  }

  kernels::Backend& backend_;
  runtime::Communicator& world_;
  runtime::Trainer& trainer_;
  fs::path folder_;
  checkpoints::Disk disk_;
  checkpoints::Store store_;
  std::unique_ptr<kernels::Stream> stream_;
  std::vector<std::byte> block_;
  std::string mine_;
  std::uint64_t memory_before_;  // what this process had without any saving
  runtime::Saver saver_;
  CheckpointTimes times_;
};

}  // namespace

CheckpointTimes run_checkpoints(kernels::Backend& backend, runtime::Communicator& world,
                                const CheckpointOptions& options) {
  const StepOptions& step = options.step;
  const RandomTokens tokens(4 * step.global_batch(world.size()) * step.sequence_length + 1,
                            step.model.vocab_size, world.rank());
  const data::Sampler sampler = tokens.sampler(step.sequence_length);
  runtime::Trainer trainer(backend, world, sampler, nullptr, training_options(step, world.size()));
  std::vector<double> seconds;
  const std::atomic<bool> stop = false;
  trainer.run({.step =
                   [&](const runtime::StepRecord& record) {
                     if (record.step > step.warmup) seconds.push_back(record.seconds);
                   },
               .evaluation = {}},
              stop);
  CheckpointTimes times = Rounds(backend, world, trainer, options).run(options.rounds);
  times.step = median(seconds);
  return times;
}

}  // namespace trireme::bench
