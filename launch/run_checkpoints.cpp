#include "launch/run_checkpoints.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <sstream>

#include "checkpoints/error.h"
#include "kernels/log.h"
#include "launch/console.h"
#include "launch/failpoint.h"
#include "launch/version.h"

namespace trireme::launch {
namespace {

namespace fs = std::filesystem;

using checkpoints::Checkpoint;
using checkpoints::CheckpointError;

std::string news_of(const runtime::SavedCheckpoint& saved) {
  std::string text = fmt::format("saved {} | {} in {:.2f} s | training waited {:.0f} ms",
                                 saved.path.string(), bytes_text(static_cast<double>(saved.bytes)),
                                 saved.seconds, saved.stall_seconds * 1e3);
  for (const std::int64_t step : saved.removed) text += fmt::format(" | removed step {}", step);
  return text;
}

// The shard files of a checkpoint, shared out: each rank checks the bytes of some that nobody
// loads.
void check_rests(Checkpoint& checkpoint, const Job& job) {
  const int files = static_cast<int>(checkpoint.manifest().files.size());
  for (int file = job.rank(); file < files; file += job.size()) checkpoint.check_rest(file);
}

bool has_optimizer(const checkpoints::Manifest& manifest) {
  return std::ranges::any_of(manifest.tensors, [](const checkpoints::StoredTensor& tensor) {
    return !checkpoints::is_parameter(tensor.info.name);
  });
}

}  // namespace

void RunCheckpoints::plan(LoadedConfig& loaded, const Reset& reset) {
  reset_ = reset;
  disk_ = checkpoints::Disk(failpoint_hook(job_.rank()));
  store_.emplace(checkpoint_folder(loaded.config), disk_);
  if (job_.rank() != 0) return;
  if (loaded.config.checkpoint.interval > 0) lock_folder();
  find_candidates(loaded);
}

std::optional<fs::path> RunCheckpoints::preview(LoadedConfig& loaded, const Reset& reset) {
  reset_ = reset;
  const auto found = find_candidates(loaded);
  if (!found && !candidates_.empty()) {
    throw CheckpointError(
        checkpoints::Fault::corrupt,
        candidates_.front().parent_path().string() + ": none of the checkpoints there is good");
  }
  return found;
}

void RunCheckpoints::lock_folder() {
  lock_.emplace(store_->folder().parent_path());
  store_->remove_leftovers();
}

std::optional<fs::path> RunCheckpoints::find_candidates(LoadedConfig& loaded) {
  const Candidates found = resume_candidates(loaded.config);
  candidates_ = found.paths;
  if (found.begun) {
    reset_ = {};
    news_.push_back("goes on with its own checkpoints, which began at " +
                    loaded.config.checkpoint.resume);
  }
  if (candidates_.empty() && (reset_.optimizer || reset_.data || reset_.schedule)) {
    throw CheckpointError(checkpoints::Fault::missing,
                          "--reset: there is no checkpoint to go on from in " +
                              checkpoint_folder(loaded.config).string() +
                              "; name one with --resume");
  }
  for (const fs::path& path : candidates_) {
    std::optional<Checkpoint> checkpoint;
    try {
      checkpoint.emplace(path);
    } catch (const CheckpointError&) {
      continue;  // said when it is tried
    }
    for (const ChangedKey& change :
         compare_with_saved(loaded, checkpoint->manifest(), path.string(), reset_)) {
      news_.push_back(fmt::format("changed since the checkpoint: {} {} -> {} ({})", change.key,
                                  change.before, change.now.empty() ? "nothing" : change.now,
                                  change.place));
    }
    return path;
  }
  return std::nullopt;
}

// Only rank 0 has looked: on a shared disk others might see another moment.
void RunCheckpoints::share_candidates() {
  std::string lines = reset_ == Reset() ? "go on\n" : "reset\n";
  for (const fs::path& path : candidates_) lines += path.string() + "\n";
  std::istringstream all(job_.gather(lines).front());
  candidates_.clear();
  std::string line;
  std::getline(all, line);
  if (line == "go on") reset_ = {};
  while (std::getline(all, line)) candidates_.emplace_back(line);
}

void RunCheckpoints::resume(runtime::Trainer& trainer, TrainingData& data) {
  share_candidates();
  std::optional<fs::path> from;
  std::string failures;
  for (const fs::path& path : candidates_) {
    const auto failure = try_candidate(path, trainer, data);
    if (!failure) {
      from = path;
      break;
    }
    failures += "\n  " + *failure;
    if (job_.rank() == 0) kernels::log().error("not a good checkpoint: {}", *failure);
  }
  all_or_none(job_, [&] {
    if (!candidates_.empty() && !from) {
      throw CheckpointError(checkpoints::Fault::corrupt,
                            "none of the checkpoints there are is good:" + failures +
                                "\n  to begin again without them: checkpoint.resume = \"never\"");
    }
  });
  if (from) trainer.state().adopt();
  const checkpoints::Progress progress =
      from ? progress_after(resumed_->progress, reset_) : checkpoints::Progress();
  if (from) trainer.go_on(progress);
  last_step_ = progress.step;
  all_or_none(job_, [&] {
    if (job_.rank() == 0) leave_other_pasts(from, progress.step);
  });
  if (!from || job_.rank() != 0) return;
  kernels::log().info("goes on from {} after step {}, {} samples", from->string(),
                      resumed_->progress.step, resumed_->progress.samples);
  for (const std::string& line : news()) kernels::log().info("{}", line);
  for (const std::string& note : data_notes_) kernels::log().info("data: {}", note);
}

// What is wrong with it on any rank, the same text on all of them; nothing if all could load it.
std::optional<std::string> RunCheckpoints::try_candidate(const fs::path& path,
                                                         runtime::Trainer& trainer,
                                                         TrainingData& data) {
  std::string failure;
  Reset reset = reset_;
  checkpoints::RunState saved;
  try {
    Checkpoint checkpoint(path);
    const checkpoints::Manifest& manifest = checkpoint.manifest();
    reset.optimizer = reset.optimizer || !has_optimizer(manifest);
    trainer.state().load(checkpoint, !reset.optimizer);
    check_rests(checkpoint, job_);
    saved = manifest.state;
    // Precisions without a loss scale have saved a 1.
    const LoadedConfig before = parse_config(manifest.config, path.string(), {});
    if (before.config.precision.compute != Compute::fp16) saved.progress.loss_scale = 0;
  } catch (const CheckpointError& error) {
    failure = error.what();
  }
  for (const std::string& each : job_.gather(failure)) {
    if (!each.empty()) return each;
  }
  reset_ = reset;
  resumed_ = std::move(saved);
  all_or_none(job_, [&] {
    // A checkpoint that was imported has no samples behind it.
    if (!reset_.data && !resumed_->datasets.empty()) data_notes_ = data.go_on(*resumed_);
  });
  return std::nullopt;
}

// Checkpoints that are not this run's past must never be taken for it.
void RunCheckpoints::leave_other_pasts(const std::optional<fs::path>& from, std::int64_t step) {
  std::error_code ignored;
  const bool own = from && fs::equivalent(from->parent_path(), store_->folder(), ignored);
  if (own) kept_metrics_ = step;
  if (!lock_) return;  // writes none
  // A schedule that starts anew is another run, whose checkpoints have the same steps.
  if (!own || resumed_->progress.step != step) {
    if (const auto aside = store_->set_all_aside()) {
      kernels::log().warn("the checkpoints that were in {} are in {} now",
                          store_->folder().string(), aside->string());
    }
    return;
  }
  for (const auto& entry : store_->list()) {
    if (entry.step <= step) continue;
    kernels::log().warn("the later checkpoint of step {} is in {} now", entry.step,
                        store_->set_aside(entry).string());
  }
}

void RunCheckpoints::begin(const LoadedConfig& loaded, kernels::Backend& backend,
                           runtime::Trainer& trainer) {
  const CheckpointSection& section = loaded.config.checkpoint;
  if (section.interval == 0) return;
  const std::string version = version_text();
  const std::chrono::duration<double> seconds(section.timeout_seconds);
  const auto timeout = std::chrono::ceil<std::chrono::milliseconds>(seconds);
  if (!host_) host_ = kernels::make_cpu_backend();
  saver_ = std::make_unique<runtime::Saver>(
      backend, trainer.compute(),
      runtime::Saver::Peers{
          .backend = *host_,
          .group = job_.make_world({.timeout = timeout})->split(0, "checkpoints")},
      trainer.state(), *store_, disk_,
      runtime::SaverOptions{.asynchronous = section.async,
                            .keep = section.keep,
                            .keep_every = section.keep_every,
                            .program = version.substr(0, version.find(',')),
                            .config = resolved_toml(loaded.config)},
      runtime::Saver::Observer{.saved =
                                   [this](const runtime::SavedCheckpoint& saved) {
                                     const std::lock_guard lock(mutex_);
                                     news_.push_back(news_of(saved));
                                   },
                               .failed = [this] { stop_ = true; }});
}

void RunCheckpoints::save(const runtime::Trainer& trainer, const TrainingData& data) {
  checkpoints::RunState state{.progress = trainer.progress()};
  describe_data(state, data.datasets, *data.train);
  last_step_ = state.progress.step;
  saver_->save(std::move(state));
}

void RunCheckpoints::finish() {
  if (saver_) saver_->finish();
}

std::vector<std::string> RunCheckpoints::news() {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> lines(news_.begin(), news_.end());
  news_.clear();
  return lines;
}

}  // namespace trireme::launch
