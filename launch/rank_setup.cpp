#include "launch/rank_setup.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "kernels/log.h"
#include "launch/console.h"
#include "launch/exit_code.h"
#include "launch/node.h"
#include "launch/resolve.h"
#include "launch/resolve_pipeline.h"
#include "launch/run_header.h"
#include "runtime/comm/nccl_world.h"
#include "runtime/comm/staged_communicator.h"
#include "runtime/train/measure_costs.h"

namespace trireme::launch {
namespace {

int ranks_of(const LoadedConfig& loaded, const Job& job, bool dry_run) {
  if (!dry_run || job.size() > 1) return job.size();
  const double ranks = ranks_asked_for(loaded.config.parallel);
  return ranks <= kMostRanks ? static_cast<int>(ranks) : 1;
}

void choose_device(RankSetup& setup, bool dry_run) {
  LoadedConfig& loaded = setup.loaded;
  Device& device = loaded.config.train.device;
  if (device == Device::automatic) {
    setup.no_cuda = kernels::cuda_problem();
    device = kernels::cuda_devices() > 0 ? Device::cuda : Device::cpu;
  }
  if (device != Device::cuda || kernels::cuda_devices() > 0 || dry_run) return;
  const std::string why = kernels::cuda_problem();
  loaded.reject("train.device", "there is no CUDA device that this build and this machine can use" +
                                    (why.empty() ? "" : ": " + why));
}

// What lives as long as the run must fit in the node, with a checkpoint's copy, activations apart.
void check_memory(RankSetup& setup, const Job& job) {
  LoadedConfig& loaded = setup.loaded;
  if (!loaded.problems.empty() || loaded.config.train.device == Device::cuda) return;
  const double needed =
      (persistent_bytes(setup.options) + checkpoint_bytes(setup.options)) * job.local_size();
  if (needed <= static_cast<double>(node_memory())) return;
  loaded.reject("model.hidden_size",
                "the model needs " + bytes_text(needed) +
                    " of parameters, gradients, optimizer and copies for checkpoints for " +
                    std::to_string(job.local_size()) + " ranks on a node of " +
                    bytes_text(static_cast<double>(node_memory())) +
                    ": make it smaller, or use more nodes with optimizer.zero_stage = 1, "
                    "parallel.tensor or parallel.pipeline");
}

// Collective. Why not NCCL, which wants a GPU for every rank; nothing if it can be used.
std::string obstacle_to_nccl(int device, Job& job) {
  const std::vector<std::string> gpus =
      job.gather(host_name() + " " + kernels::cuda_device_identity(device));
  if (gpus.size() == 1) return "one rank";
  std::set<std::string> seen;
  for (const std::string& gpu : gpus) {
    if (!seen.insert(gpu).second) return "ranks share the GPU " + gpu;
  }
  return "";
}

std::string describe(const std::string& obstacle) {
  return obstacle.empty() ? "NCCL" : "MPI through host memory: " + obstacle;
}

// Ranks are ended by the launcher when one ends so.
[[noreturn]] void end_process(int rank, const std::string& why) {
  std::fprintf(stderr, "error: rank %d (%s): %s\n", rank, host_name().c_str(), why.c_str());
  std::_Exit(static_cast<int>(ExitCode::communication));
}

}  // namespace

void read_config(RankSetup& setup, const Job& job, const ConfigArguments& arguments, bool dry_run) {
  setup.loaded = load_config(arguments.path, arguments.settings);
  choose_device(setup, dry_run);
  setup.options = resolve(setup.loaded, ranks_of(setup.loaded, job, dry_run));
  if (!dry_run) check_memory(setup, job);
  if (setup.loaded.problems.empty()) return;
  if (!dry_run) add_file_problems(setup.loaded);
  throw ConfigError(setup.loaded.problems);
}

void make_device(RankSetup& setup, const Job& job) {
  if (job.rank() == 0 && !setup.no_cuda.empty()) {
    kernels::log().warn("training on the CPU, CUDA cannot be used: {}", setup.no_cuda);
  }
  // Ranks of one node share its cores, whether the launcher bound them or not.
  const int share = std::max(1, node_cores() / job.local_size());
  const TrainSection& train = setup.loaded.config.train;
  setup.threads = static_cast<int>(train.threads.value_or(std::min(share, usable_cores())));
  if (train.device != Device::cuda) {
    setup.backend = kernels::make_cpu_backend({.threads = setup.threads});
    return;
  }
  // More ranks than GPUs share them.
  setup.device = job.local_rank() % kernels::cuda_devices();
  setup.backend = kernels::make_cuda_backend(setup.device);
}

std::unique_ptr<runtime::Communicator> make_world(RankSetup& setup, Job& job) {
  const Config& config = setup.loaded.config;
  const runtime::CommunicatorOptions options{
      .timeout = watchdog_timeout(config),
      .spin = job.local_size() * setup.threads < usable_cores(),
      .end_process = [rank = job.rank()](const std::string& why) { end_process(rank, why); }};
  auto world = job.make_world(options);
  setup.transport = "MPI";
  if (config.train.device != Device::cuda) return world;
  std::string obstacle = obstacle_to_nccl(setup.device, job);
  if (config.train.transport == Transport::nccl) obstacle = "";
  if (config.train.transport == Transport::host) obstacle = "train.transport";
  setup.transport = describe(obstacle);
  return obstacle.empty() ? runtime::make_nccl(std::move(world), *setup.backend, options)
                          : runtime::make_staged(std::move(world), *setup.backend);
}

std::chrono::milliseconds watchdog_timeout(const Config& config) {
  const std::chrono::duration<double> seconds(config.watchdog.timeout_seconds.value_or(600));
  return std::chrono::ceil<std::chrono::milliseconds>(seconds);
}

bool measures_pipeline(const LoadedConfig& loaded) {
  return loaded.config.schedule.costs == ScheduleCosts::measured &&
         loaded.config.parallel.pipeline > 1;
}

void measure_pipeline(RankSetup& setup, runtime::Communicator& world) {
  if (!measures_pipeline(setup.loaded)) return;
  setup.options.costs = runtime::measure_pass_costs(*setup.backend, world, setup.options);
  setup.backend->reset_memory_peaks();
  resolve_pipeline(setup.loaded, setup.options);
  if (!setup.loaded.problems.empty()) throw ConfigError(setup.loaded.problems);
}

void end_job(Job& job, const std::exception_ptr& exception) {
  const Failure failure = failure_of(exception);
  job.fail(static_cast<int>(failure.code), "while " + job.phase() + ": " + failure.message);
  std::abort();  // g++ does not see that a virtual function never returns
}

}  // namespace trireme::launch
