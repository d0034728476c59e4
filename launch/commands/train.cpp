#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <optional>

#include "kernels/log.h"
#include "launch/agreement.h"
#include "launch/commands/commands.h"
#include "launch/config_keys.h"
#include "launch/console.h"
#include "launch/interrupt.h"
#include "launch/node.h"
#include "launch/resolve.h"
#include "launch/run_folder.h"
#include "launch/run_header.h"
#include "launch/training_data.h"
#include "models/work.h"

namespace trireme::launch {
namespace {

struct TrainArguments {
  std::string path;
  std::vector<std::string> settings;
  bool dry_run = false;
};

// One run on one rank, from its config to its last line.
class Run {
 public:
  Run(Job& job, TrainArguments arguments) : job_(job), arguments_(std::move(arguments)) {}

  ExitCode execute() {
    all_or_none(job_, [this] { read_config(); });
    if (arguments_.dry_run) return print_plan();
    all_or_none(job_, [this] { data_ = open_training_data(loaded_.config); });
    all_or_none(job_, [this] {
      if (job_.rank() == 0) open_folder();
    });
    make_device();
    phase_ = "building the model";
    const auto world =
        job_.make_world({.timeout = std::chrono::milliseconds(static_cast<std::int64_t>(
                             loaded_.config.watchdog.timeout_seconds.value_or(600) * 1e3)),
                         .spin = job_.local_size() * threads_ < usable_cores()});
    runtime::Trainer trainer(*backend_, *world, *data_.train,
                             data_.validation ? &*data_.validation : nullptr, options_);
    say_header();
    try {
      return train(trainer);
    } catch (...) {
      // Now, while everything still stands: a stream that waits for a peer cannot be torn down.
      end_job(std::current_exception());
    }
  }

  // Says what this rank was doing when it failed, and ends every rank.
  [[noreturn]] void end_job(const std::exception_ptr& exception) {
    const Failure failure = failure_of(exception);
    std::fprintf(stderr, "error: rank %d (%s) while %s: %s\n", job_.rank(), host_name().c_str(),
                 phase_.c_str(), failure.message.c_str());
    job_.abort(static_cast<int>(failure.code));
    std::abort();
  }

 private:
  void read_config() {
    loaded_ = load_config(arguments_.path, arguments_.settings);
    options_ = resolve(loaded_, ranks());
    if (!arguments_.dry_run) {
      check_device();
      check_memory();
    }
    if (!loaded_.problems.empty()) throw ConfigError(loaded_.problems);
  }

  // A dry run alone stands for as many ranks as its config asks for, on machines yet to be had.
  int ranks() const {
    if (!arguments_.dry_run || job_.size() > 1) return job_.size();
    const ParallelSection& parallel = loaded_.config.parallel;
    return static_cast<int>(parallel.tensor * parallel.pipeline * parallel.context *
                            parallel.data.value_or(1));
  }

  void check_device() {
    if (loaded_.config.train.device != Device::cuda) return;
    if (kernels::cuda_devices() == 0) {
      loaded_.reject("train.device",
                     "there is no CUDA device that this build and this machine can use");
    } else if (job_.size() > 1) {
      loaded_.reject("train.device", "several ranks on CUDA are not in this version; start one");
    }
  }

  // What lives as long as the run must fit in the node, activations apart.
  void check_memory() {
    if (!loaded_.problems.empty() || loaded_.config.train.device == Device::cuda) return;
    const double needed = persistent_bytes(options_) * job_.local_size();
    if (needed <= static_cast<double>(node_memory())) return;
    loaded_.reject("model.hidden_size",
                   "the model needs " + gibibytes(needed) +
                       " of parameters, gradients and optimizer for " +
                       std::to_string(job_.local_size()) + " ranks on a node of " +
                       gibibytes(static_cast<double>(node_memory())) +
                       ": make it smaller, or use more nodes with optimizer.zero_stage = 1");
  }

  ExitCode print_plan() {
    if (job_.rank() == 0) {
      std::fputs((plan_text(options_) + "\n" + config_with_sources(loaded_)).c_str(), stdout);
    }
    return ExitCode::done;
  }

  void open_folder() {
    folder_.emplace(loaded_.config.run.dir);
    folder_->write("resolved.toml", resolved_toml(loaded_.config));
    folder_->write("log.txt", "");
    auto console = std::make_shared<spdlog::sinks::stdout_sink_st>();
    auto file =
        std::make_shared<spdlog::sinks::basic_file_sink_st>((folder_->path() / "log.txt").string());
    console->set_pattern("%v");
    file->set_pattern("%Y-%m-%dT%H:%M:%S.%e rank=0 %l %v");
    spdlog::set_default_logger(std::make_shared<spdlog::logger>(
        "trireme", std::initializer_list<spdlog::sink_ptr>{console, file}));
    kernels::log().flush_on(spdlog::level::info);
  }

  void make_device() {
    // Ranks of one node share its cores, whether the launcher bound them or not.
    const int share = std::max(1, node_cores() / job_.local_size());
    threads_ =
        static_cast<int>(loaded_.config.train.threads.value_or(std::min(share, usable_cores())));
    backend_ = loaded_.config.train.device == Device::cuda
                   ? kernels::make_cuda_backend(0)
                   : kernels::make_cpu_backend({.threads = threads_});
    const auto flops = models::training_flops(options_.model, options_.sequence_length);
    scale_ = {.total_steps = options_.steps,
              .tokens_per_step = options_.global_batch * options_.sequence_length,
              .ranks = job_.size(),
              .flops_per_token =
                  loaded_.config.train.mfu_flops == Flops::causal ? flops.causal : flops.full,
              .peak_flops_per_rank = backend_->peak_flops_per_second(options_.compute),
              .memory_limit = backend_->memory_capacity(),
              .bubble_fraction = bubble_forecast(options_)};
    hosts_ = job_.gather(host_name());
  }

  void say_header() {
    if (!folder_) return;
    const auto say = [](const std::string& text) {
      for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        kernels::log().info("{}", text.substr(at, end - at));
        at = end + 1;
      }
    };
    say(machine_text(job_, hosts_, backend_->description(), scale_));
    say(plan_text(options_));
    say("config\n" + config_with_sources(loaded_));
    if (threads_ > usable_cores()) {
      kernels::log().warn(
          "each rank has {} threads but is bound to {} of {} cores; start ranks with mpirun "
          "--bind-to none",
          threads_, usable_cores(), node_cores());
    }
  }

  ExitCode train(runtime::Trainer& trainer) {
    const auto& interrupted = watch_for_interrupt();
    ProgressLine progress(folder_ && isatty(STDERR_FILENO));
    phase_ = "training step 1";
    const runtime::Outcome outcome = trainer.run(
        {.step = [&](const runtime::StepRecord& record) { report_step(record, progress); },
         .evaluation = [&](std::int64_t step,
                           double loss) { report_evaluation(step, loss, progress); }},
        interrupted);
    progress.clear();
    return conclude(outcome);
  }

  void report_step(const runtime::StepRecord& record, ProgressLine& progress) {
    phase_ = "training step " + std::to_string(record.step + 1);
    if (!folder_) return;
    // The first step builds caches; it would spoil the estimate of the others.
    if (record.step > 1)
      typical_seconds_ =
          typical_seconds_ > 0 ? 0.9 * typical_seconds_ + 0.1 * record.seconds : record.seconds;
    const double per_step = typical_seconds_ > 0 ? typical_seconds_ : record.seconds;
    const double eta = per_step * static_cast<double>(options_.steps - record.step);
    folder_->add_metrics(step_json(record, scale_));
    const std::int64_t interval = loaded_.config.train.log_interval;
    const bool due = interval > 0 && (record.step % interval == 0 || record.step == 1 ||
                                      record.step == options_.steps);
    if (due || record.result.skipped) {
      progress.clear();
      kernels::log().info("{}", step_line(record, scale_, eta));
    }
    progress.show(record.step, options_.steps, eta);
  }

  void report_evaluation(std::int64_t step, double loss, ProgressLine& progress) {
    if (!folder_) return;
    progress.clear();
    folder_->add_metrics(evaluation_json(step, loss));
    kernels::log().info("eval at step {} | loss {:.4f}", step, loss);
  }

  ExitCode conclude(runtime::Outcome outcome) {
    if (folder_) {
      if (outcome == runtime::Outcome::stopped)
        kernels::log().warn("stopped by a signal after a whole step; nothing was saved");
      if (outcome == runtime::Outcome::diverged) {
        kernels::log().error("diverged: {} steps in a row had gradients that are not finite",
                             options_.max_skipped_steps + 1);
      }
      kernels::log().info("run folder {}", folder_->path().string());
    }
    switch (outcome) {
      case runtime::Outcome::finished: return ExitCode::done;
      case runtime::Outcome::stopped: return ExitCode::interrupted;
      case runtime::Outcome::diverged: return ExitCode::diverged;
    }
    return ExitCode::internal;
  }

  Job& job_;
  TrainArguments arguments_;
  std::string phase_ = "reading the config";
  LoadedConfig loaded_;
  runtime::TrainerOptions options_;
  TrainingData data_;
  std::optional<RunFolder> folder_;  // on rank 0
  int threads_ = 1;
  std::unique_ptr<kernels::Backend> backend_;
  Scale scale_;
  std::vector<std::string> hosts_;
  double typical_seconds_ = 0;
};

ExitCode run_train(const TrainArguments& arguments) {
  const auto job = start_job();
  Run run(*job, arguments);
  try {
    return run.execute();
  } catch (const AgreedEnd& end) {
    return end.code;
  } catch (...) {
    run.end_job(std::current_exception());
  }
}

// --tp 2 is short for --set parallel.tensor=2.
void add_short(CLI::App& command, const char* flag, const char* key,
               std::vector<std::string>& settings) {
  command.add_option_function<std::string>(
      flag,
      [&settings, key](const std::string& value) {
        settings.push_back(std::string(key) + "=" + value);
      },
      std::string("short for --set ") + key + "=N");
}

}  // namespace

void add_train(CLI::App& app, Command& chosen) {
  auto* command =
      app.add_subcommand("train", "trains a model on the ranks that started this program");
  // Lives as long as the parser that fills it in.
  auto arguments = std::make_shared<TrainArguments>();
  command->add_option("config", arguments->path, "the run's TOML file")->required();
  command
      ->add_option("--set", arguments->settings,
                   "section.key=value, wins over the file; repeatable")
      ->allow_extra_args(false);
  add_short(*command, "--tp", "parallel.tensor", arguments->settings);
  add_short(*command, "--pp", "parallel.pipeline", arguments->settings);
  add_short(*command, "--dp", "parallel.data", arguments->settings);
  add_short(*command, "--cp", "parallel.context", arguments->settings);
  add_short(*command, "--ep", "parallel.expert", arguments->settings);
  command->add_flag("--dry-run", arguments->dry_run,
                    "checks the config, prints the plan and stops");
  command->footer(
      "Examples:\n"
      "  trireme train configs/quickstart.toml\n"
      "  mpirun -np 8 --bind-to none trireme train run.toml --dp 8 --set train.steps=1000\n"
      "  srun --mpi=pmix -n 16 trireme train run.toml\n"
      "\nKeys of the config file, for --set:\n" +
      config_help());
  command->callback(
      [arguments, &chosen] { chosen = [arguments] { return run_train(*arguments); }; });
}

}  // namespace trireme::launch
