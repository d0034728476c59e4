#include "launch/commands/bench_device.h"

#include <CLI/CLI.hpp>
#include <map>

#include "launch/agreement.h"

namespace trireme::launch {
namespace {

const std::map<std::string, Device> kDevices{
    {"auto", Device::automatic}, {"cpu", Device::cpu}, {"cuda", Device::cuda}};

const std::map<std::string, kernels::Dtype> kDtypes{
    {"fp32", kernels::Dtype::f32}, {"bf16", kernels::Dtype::bf16}, {"fp16", kernels::Dtype::f16}};

}  // namespace

void add_bench_device(CLI::App& command, BenchDevice& device) {
  command.add_option("--device", device.device, "auto, cpu or cuda; auto: cuda if there is any")
      ->capture_default_str()
      ->check(CLI::IsMember(kDevices));
  command
      .add_option("--dtype", device.dtype,
                  "auto, fp32, bf16 or fp16; auto: bf16 on cuda, fp32 on cpu")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "fp32", "bf16", "fp16"}));
  command.add_option("--threads", device.threads,
                     "CPU threads per rank; default: the cores over the ranks");
}

RankSetup make_bench_device(const BenchDevice& device, const Job& job) {
  RankSetup setup;
  TrainSection& train = setup.loaded.config.train;
  train.device = kDevices.at(device.device);
  if (train.device == Device::automatic) {
    train.device = kernels::cuda_devices() > 0 ? Device::cuda : Device::cpu;
  }
  if (train.device == Device::cuda && kernels::cuda_devices() == 0) {
    const std::string why = kernels::cuda_problem();
    throw UsageError(
        "--device cuda: there is no CUDA device that this build and this machine can "
        "use" +
        (why.empty() ? "" : ": " + why));
  }
  if (device.threads > 0) train.threads = device.threads;
  make_device(setup, job);
  return setup;
}

ExitCode measured_after(Job& job, const std::function<void()>& setup,
                        const std::function<ExitCode()>& measure) {
  try {
    all_or_none(job, setup);
  } catch (const AgreedEnd& end) {
    return end.code;
  }
  job.set_phase("measuring");
  try {
    return measure();
  } catch (const AgreedEnd&) {
    throw;
  } catch (...) {
    end_job(job, std::current_exception());
  }
}

kernels::Dtype dtype_of(const BenchDevice& device, const RankSetup& setup) {
  if (device.dtype != "auto") return kDtypes.at(device.dtype);
  return setup.loaded.config.train.device == Device::cuda ? kernels::Dtype::bf16
                                                          : kernels::Dtype::f32;
}

}  // namespace trireme::launch
