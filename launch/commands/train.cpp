#include <fmt/core.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <exception>
#include <functional>
#include <optional>
#include <vector>

#include "checkpoints/error.h"
#include "data/error.h"
#include "kernels/log.h"
#include "launch/agreement.h"
#include "launch/commands/commands.h"
#include "launch/commands/config_arguments.h"
#include "launch/config_keys.h"
#include "launch/console.h"
#include "launch/deadline.h"
#include "launch/device_agreement.h"
#include "launch/input_agreement.h"
#include "launch/interrupt.h"
#include "launch/run_checkpoints.h"
#include "launch/run_folder.h"
#include "launch/run_header.h"
#include "launch/run_report.h"
#include "launch/run_trace.h"
#include "models/work.h"
#include "schedules/text.h"

namespace trireme::launch {
namespace {

struct TrainArguments {
  ConfigArguments config;
  std::optional<std::string> resume;
  std::string reset;
  bool dry_run = false;
};

// One run on one rank, from its config to its last line.
class Run {
 public:
  Run(Job& job, TrainArguments arguments, StopRequest& stop)
      : job_(job),
        arguments_(std::move(arguments)),
        stop_(stop),
        checkpoints_(job, stop.requested) {
    if (arguments_.resume) {
      arguments_.config.settings.push_back("checkpoint.resume=" + *arguments_.resume);
    }
  }

  ExitCode execute() {
    all_or_none(job_, [this] { read_config(setup_, job_, arguments_.config, arguments_.dry_run); });
    if (arguments_.dry_run) return print_plan();
    deadline_ = Deadline(loaded().config.train.max_seconds);
    job_.set_patience(watchdog_timeout(loaded().config));
    agree_on_device(setup_, job_);
    agree_on(job_, "config", text_of_config(loaded()));
    all_or_none(job_, [this] { open_data(); });
    agree_on(job_, "training data", text_of_data(setup_.data));
    all_or_none(job_, [this] { plan_checkpoints(); });
    all_or_none(job_, [this] {
      if (job_.rank() == 0) open_folder();
    });
    make_device(setup_, job_);
    const auto world = make_world(setup_, job_);
    std::optional<runtime::Trainer> trainer;
    std::optional<RunCheckpoints::Writing> writing;
    try {
      job_.set_phase("measuring costs of passes");
      measure_pipeline(setup_, *world);
      agree_on(job_, "schedule", schedules::schedule_text(options().schedule));
      make_scale();
      begin_trace();
      job_.set_phase("building the model");
      trainer.emplace(*setup_.backend, trace_ ? trace_->watch(*world) : *world, *setup_.data.train,
                      setup_.data.validation ? &*setup_.data.validation : nullptr, options());
      if (folder_) say_header(setup_, job_, hosts_, scale_);
      job_.set_phase("loading a checkpoint");
      job_.set_patience(save_timeout());
      checkpoints_.resume(*trainer, setup_.data);
      job_.set_patience(watchdog_timeout(loaded().config));
      go_on_with_metrics(*trainer);
      writing.emplace(checkpoints_, loaded(), *setup_.backend, *trainer);
      return train(*trainer);
    } catch (const AgreedEnd&) {
      throw;
    } catch (...) {
      // Now, while everything still stands: what waits for a peer, a stream or a save, cannot be
      // torn down.
      end_job(job_, std::current_exception());
    }
  }

 private:
  const LoadedConfig& loaded() const { return setup_.loaded; }
  const runtime::TrainerOptions& options() const { return setup_.options; }

  ExitCode print_plan() {
    all_or_none(job_, [this] {
      if (job_.rank() != 0) return;
      std::string text = plan_text(options());
      warn([this] { open_training_data(loaded()); });
      warn([&] {
        const auto from = checkpoints_.preview(setup_.loaded, parse_reset(arguments_.reset));
        require_no_problems();
        if (from) text += "resume    " + from->string() + "\n";
      });
      std::fputs((text + "\n" + config_with_sources(loaded())).c_str(), stdout);
    });
    return ExitCode::done;
  }

  // A plan can be made before there is any data or checkpoint, and where there is none.
  static void warn(const std::function<void()>& look) {
    try {
      look();
    } catch (const data::DataError& error) {
      std::fprintf(stderr, "warning: training here would fail: %s\n", error.what());
    } catch (const checkpoints::CheckpointError& error) {
      std::fprintf(stderr, "warning: training here would fail: %s\n", error.what());
    }
  }

  // Where files are missing, what is wrong with the checkpoints is said along with it.
  void open_data() {
    try {
      setup_.data = open_training_data(loaded());
    } catch (const data::DataError& error) {
      std::string also;
      try {
        checkpoints_.preview(setup_.loaded, parse_reset(arguments_.reset));
      } catch (const checkpoints::CheckpointError& other) {
        also = std::string("\n  ") + other.what();
      }
      if (!loaded().problems.empty()) add_file_problems(setup_.loaded);
      require_no_problems();
      throw data::DataError(error.fault, error.what() + also);
    }
  }

  void plan_checkpoints() {
    checkpoints_.plan(setup_.loaded, parse_reset(arguments_.reset));
    require_no_problems();
  }

  void require_no_problems() const {
    if (!loaded().problems.empty()) throw ConfigError(loaded().problems);
  }

  void open_folder() {
    folder_.emplace(loaded().config.run.dir, checkpoints_.resumes());
    folder_->write("resolved.toml", resolved_toml(loaded().config));
    if (!checkpoints_.resumes()) folder_->write("log.txt", "");
    auto console = std::make_shared<spdlog::sinks::stdout_sink_st>();
    auto file =
        std::make_shared<spdlog::sinks::basic_file_sink_st>((folder_->path() / "log.txt").string());
    console->set_pattern("%v");
    file->set_pattern("%Y-%m-%dT%H:%M:%S.%e rank=0 %l %v");
    spdlog::set_default_logger(std::make_shared<spdlog::logger>(
        "trireme", std::initializer_list<spdlog::sink_ptr>{console, file}));
    kernels::log().flush_on(spdlog::level::info);
    job_.set_log([file](const std::string& text) {
      spdlog::logger log("trireme", file);
      log.error("{}", text);
      log.flush();
    });
  }

  void make_scale() {
    const auto flops = models::training_flops(options().model, options().sequence_length);
    scale_ = {.total_steps = options().steps,
              .tokens_per_step = options().global_batch * options().sequence_length,
              .ranks = job_.size(),
              .flops_per_token =
                  loaded().config.train.mfu_flops == Flops::causal ? flops.causal : flops.full,
              .peak_flops_per_rank = setup_.backend->peak_flops_per_second(options().compute),
              .memory_limit = setup_.backend->memory_capacity()};
    hosts_ = job_.gather(host_name());
  }

  void begin_trace() {
    const runtime::StepRange steps = loaded().config.trace.steps;
    if (steps == runtime::StepRange()) return;
    trace_.emplace(job_, hosts_, options().mesh, steps);
    setup_.options.spans = &trace_->spans();
  }

  void go_on_with_metrics(runtime::Trainer& trainer) {
    bool owes = false;
    if (folder_ && checkpoints_.resumes()) {
      const std::int64_t step = checkpoints_.kept_metrics();
      owes = !folder_->keep_metrics_until(step) && step > 0;
    }
    if (job_.gather(owes ? "owes" : "").front() == "owes") trainer.owe_evaluation();
    if (!folder_ || trainer.progress().step < options().steps) return;
    kernels::log().info("nothing to do: train.steps = {}, and step {} is done", options().steps,
                        trainer.progress().step);
  }

  ExitCode train(runtime::Trainer& trainer) {
    ProgressLine progress(folder_ && isatty(STDERR_FILENO));
    first_step_ = trainer.progress().step + 1;
    job_.set_phase("training step " + std::to_string(first_step_));
    runtime::TrainerObserver observer{
        .step = [&](const runtime::StepRecord& record) { report_step(record, progress); },
        .evaluation = [&](std::int64_t step,
                          double loss) { report_evaluation(step, loss, progress); }};
    if (checkpoints_.writes()) {
      observer.checkpoint = [&] { checkpoints_.save(trainer, setup_.data); };
    }
    if (trace_) {
      observer.trace = [this](const std::vector<runtime::Span>& spans) { write_trace(spans); };
    }
    const runtime::Outcome outcome = trainer.run(observer, stop_.requested);
    progress.clear();
    job_.set_phase("writing checkpoints");
    const bool saved = finish_checkpoints(trainer, outcome);
    say_peaks(job_, *setup_.backend);
    const std::int64_t skipped = trainer.progress().skipped_in_a_row;
    const bool learned = skipped == 0 || skipped <= trainer.progress().step - first_step_;
    return conclude(learned ? outcome : runtime::Outcome::diverged, saved);
  }

  void write_trace(const std::vector<runtime::Span>& spans) {
    const auto folder = std::filesystem::path(loaded().config.run.dir) / "trace";
    trace_->write(folder, spans);
    if (!folder_) return;
    kernels::log().info("trace of steps {} to {} in {}, for ui.perfetto.dev", trace_->steps().first,
                        trace_->steps().last, folder.string());
  }

  // Whether the run can go on from where it stopped. What failed to be written ends every rank.
  bool finish_checkpoints(runtime::Trainer& trainer, runtime::Outcome outcome) {
    if (!checkpoints_.writes()) return false;
    finish_saves();
    if (outcome == runtime::Outcome::diverged) return false;
    if (checkpoints_.last_step() != trainer.progress().step) {
      checkpoints_.save(trainer, setup_.data);
      finish_saves();
    }
    return true;
  }

  // What was saved is told also if something could not be. A disk's failure is known to all ranks
  // by now; that a peer is lost, perhaps to this one alone.
  void finish_saves() {
    std::exception_ptr failure;
    job_.set_patience(save_timeout());
    try {
      checkpoints_.finish();
    } catch (const checkpoints::CheckpointError&) {
      failure = std::current_exception();
    }
    say_news();
    all_or_none(job_, [&] {
      if (failure) std::rethrow_exception(failure);
    });
  }

  // Disks differ, and so do the ranks' times with them.
  std::chrono::milliseconds save_timeout() const {
    const std::chrono::duration<double> seconds(loaded().config.checkpoint.timeout_seconds);
    return std::chrono::ceil<std::chrono::milliseconds>(seconds);
  }

  void say_news() {
    if (!folder_) return;
    for (const std::string& line : checkpoints_.news()) kernels::log().info("{}", line);
  }

  // A job that is about to be ended saves first.
  void look_at_the_clock() {
    if (stop_.requested || !deadline_.is_due(typical_seconds_, checkpoints_.last_seconds())) return;
    stop_.requested = in_time_ = true;
    kernels::log().info("{:.0f} s are left: saves and stops", deadline_.left());
  }

  void report_step(const runtime::StepRecord& record, ProgressLine& progress) {
    job_.set_phase("training step " + std::to_string(record.step + 1));
    if (!folder_) return;
    // The first step builds caches; it would spoil the estimate of the others.
    if (record.step > first_step_)
      typical_seconds_ =
          typical_seconds_ > 0 ? 0.9 * typical_seconds_ + 0.1 * record.seconds : record.seconds;
    const double per_step = typical_seconds_ > 0 ? typical_seconds_ : record.seconds;
    const double eta = per_step * static_cast<double>(options().steps - record.step);
    folder_->add_metrics(step_json(record, scale_));
    const std::int64_t interval = loaded().config.train.log_interval;
    const bool due = interval > 0 && (record.step % interval == 0 || record.step == first_step_ ||
                                      record.step == options().steps);
    if (due || record.result.skipped) {
      progress.clear();
      kernels::log().info("{}", step_line(record, scale_, eta));
    }
    if (const auto news = checkpoints_.news(); !news.empty()) {
      progress.clear();
      for (const std::string& line : news) kernels::log().info("{}", line);
    }
    look_at_the_clock();
    progress.show(record.step, options().steps, eta);
  }

  void report_evaluation(std::int64_t step, double loss, ProgressLine& progress) {
    if (!folder_) return;
    progress.clear();
    folder_->add_metrics(evaluation_json(step, loss));
    kernels::log().info("eval at step {} | loss {:.4f}", step, loss);
  }

  ExitCode conclude(runtime::Outcome outcome, bool saved) {
    if (folder_) {
      const std::int64_t last = checkpoints_.last_step();
      if (outcome == runtime::Outcome::stopped) {
        say_why_stopped(stop_.signal, in_time_, saved ? std::optional(last) : std::nullopt);
      }
      if (outcome == runtime::Outcome::diverged) {
        kernels::log().error(
            "diverged: every step, or {} in a row, had gradients that are not finite",
            options().max_skipped_steps + 1);
      }
      kernels::log().info("run folder {}", folder_->path().string());
    }
    switch (outcome) {
      case runtime::Outcome::finished: return ExitCode::done;
      case runtime::Outcome::stopped: return saved ? ExitCode::resumable : ExitCode::interrupted;
      case runtime::Outcome::diverged: return ExitCode::diverged;
    }
    return ExitCode::internal;
  }

  Job& job_;
  TrainArguments arguments_;
  StopRequest& stop_;
  RunCheckpoints checkpoints_;
  RankSetup setup_;
  std::optional<RunFolder> folder_;  // on rank 0
  Scale scale_;
  std::vector<std::string> hosts_;
  std::optional<RunTrace> trace_;  // where steps are recorded
  double typical_seconds_ = 0;
  std::int64_t first_step_ = 1;
  Deadline deadline_{0};
  bool in_time_ = false;  // whether that is why the run stops
};

ExitCode run_train(const TrainArguments& arguments) {
  StopRequest& stop = watch_for_stop();
  const auto job = start_job();
  Run run(*job, arguments, stop);
  try {
    return run.execute();
  } catch (const AgreedEnd& end) {
    return end.code;
  } catch (...) {
    end_job(*job, std::current_exception());
  }
}

}  // namespace

void add_train(CLI::App& app, Command& chosen) {
  auto* command =
      app.add_subcommand("train", "trains a model on the ranks that started this program");
  // Lives as long as the parser that fills it in.
  auto arguments = std::make_shared<TrainArguments>();
  add_config_arguments(*command, arguments->config);
  command->add_option("--resume", arguments->resume,
                      "short for --set checkpoint.resume=...: auto, never, or a path");
  command->add_option(
      "--reset", arguments->reset,
      "what of the checkpoint not to go on with: some of optimizer, data, schedule, "
      "joined by commas");
  command->add_flag("--dry-run", arguments->dry_run,
                    "checks the config, prints the plan and stops");
  command->footer(
      "Examples:\n"
      "  trireme train configs/quickstart.toml\n"
      "  mpirun -np 8 --bind-to none trireme train run.toml --dp 8 --set train.steps=1000\n"
      "  srun --mpi=pmix -n 16 trireme train run.toml\n"
      "  trireme train tune.toml --resume runs/base --reset optimizer,data,schedule\n"
      "\nKeys of the config file, for --set:\n" +
      config_help());
  command->callback(
      [arguments, &chosen] { chosen = [arguments] { return run_train(*arguments); }; });
}

}  // namespace trireme::launch
