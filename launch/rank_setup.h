#pragma once

#include <chrono>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "launch/bootstrap.h"
#include "launch/config_file.h"
#include "launch/training_data.h"
#include "runtime/train/trainer.h"

namespace trireme::launch {

// The config of a run, as the command line names it.
struct ConfigArguments {
  std::string path;
  std::vector<std::string> settings;  // "section.key=value"
};

// What a rank needs before it trains or verifies.
struct RankSetup {
  LoadedConfig loaded;
  runtime::TrainerOptions options;
  TrainingData data;
  int threads = 1;      // of a rank on the CPU
  std::string no_cuda;  // why train.device = "auto" took the CPU, where there might be a GPU
  int device = 0;       // number of its GPU
  std::unique_ptr<kernels::Backend> backend;
  std::string transport;  // what its devices communicate by, for people
};

// Reads and checks the config for as many ranks as the job has; a dry run alone stands for as many
// as its config asks for, on machines yet to be had. Throws ConfigError with everything wrong.
void read_config(RankSetup& setup, const Job& job, const ConfigArguments& arguments, bool dry_run);

void make_device(RankSetup& setup, const Job& job);

// Collective. Between GPUs by NCCL, or through host memory, as train.transport says. Borrows the
// backend.
std::unique_ptr<runtime::Communicator> make_world(RankSetup& setup, Job& job);

// How long a rank waits for others before it takes them for lost.
std::chrono::milliseconds watchdog_timeout(const Config& config);

bool measures_pipeline(const LoadedConfig& loaded);

// Collective. If the config asks for measured costs, measures them, and chooses schedule and split
// again. Throws ConfigError if there are none for these costs.
void measure_pipeline(RankSetup& setup, runtime::Communicator& world);

// Says what this rank was doing when it failed, and ends every rank.
[[noreturn]] void end_job(Job& job, const std::exception_ptr& exception);

}  // namespace trireme::launch
