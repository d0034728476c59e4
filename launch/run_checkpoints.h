#pragma once

#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "checkpoints/folder_lock.h"
#include "kernels/backend.h"
#include "launch/agreement.h"
#include "launch/resume.h"
#include "launch/training_data.h"
#include "runtime/train/saver.h"
#include "runtime/train/trainer.h"

namespace trireme::launch {

// The checkpoints of one run, on one rank: what it goes on from, and what it writes.
class RunCheckpoints {
 public:
  // Both are borrowed. `stop` is set when a checkpoint could not be written.
  RunCheckpoints(Job& job, std::atomic<bool>& stop) : job_(job), stop_(stop) {}

  // Before any device is touched: what there is to go on from, and whether this config can. On
  // rank 0 it also locks the folder. Problems become part of `loaded`. Throws CheckpointError.
  void plan(LoadedConfig& loaded, const Reset& reset);
  // The same on one rank, for a plan: nothing is locked or changed. Returns what would be gone on
  // from.
  std::optional<std::filesystem::path> preview(LoadedConfig& loaded, const Reset& reset);
  // Whether there is anything to go on from.
  bool resumes() const { return !candidates_.empty(); }

  // Loads the newest good candidate into the trainer and the data, and says so. Collective; throws
  // AgreedEnd if there are candidates and none of them is good.
  void resume(runtime::Trainer& trainer, TrainingData& data);
  // Of metrics, lines up to this step are of this run's past.
  std::int64_t kept_metrics() const { return kept_metrics_; }

  // While it lives, checkpoints are written, if the config wants some. It uses the trainer and the
  // device, and must end before them.
  class Writing {
   public:
    // Collective over the job. All are borrowed.
    Writing(RunCheckpoints& checkpoints, const LoadedConfig& loaded, kernels::Backend& backend,
            runtime::Trainer& trainer)
        : checkpoints_(checkpoints) {
      checkpoints_.begin(loaded, backend, trainer);
    }
    Writing(const Writing&) = delete;
    Writing& operator=(const Writing&) = delete;
    ~Writing() { checkpoints_.saver_.reset(); }

   private:
    RunCheckpoints& checkpoints_;
  };
  bool writes() const { return saver_ != nullptr; }
  void save(const runtime::Trainer& trainer, const TrainingData& data);
  // The last step that is, or is about to be, in a checkpoint.
  std::int64_t last_step() const { return last_step_; }
  double last_seconds() const { return saver_ ? saver_->last_seconds() : 0; }
  // Waits until everything is written. Throws CheckpointError{io} if something could not be.
  void finish();

  // What has been written since the last call, a line each; on rank 0.
  std::vector<std::string> news();

 private:
  void begin(const LoadedConfig& loaded, kernels::Backend& backend, runtime::Trainer& trainer);
  void lock_folder();
  // Returns the first that can be read: nothing if there is none.
  std::optional<std::filesystem::path> find_candidates(LoadedConfig& loaded);
  void share_candidates();
  std::optional<std::string> try_candidate(const std::filesystem::path& path,
                                           runtime::Trainer& trainer, TrainingData& data);
  void leave_other_pasts(const std::optional<std::filesystem::path>& from, std::int64_t step);

  Job& job_;
  Reset reset_;
  std::atomic<bool>& stop_;
  checkpoints::Disk disk_;
  std::optional<checkpoints::Store> store_;
  std::optional<checkpoints::FolderLock> lock_;
  std::vector<std::filesystem::path> candidates_;
  std::optional<checkpoints::RunState> resumed_;
  std::vector<std::string> data_notes_;
  std::unique_ptr<kernels::Backend> host_;  // of what the saver's ranks tell each other
  std::unique_ptr<runtime::Saver> saver_;
  std::int64_t last_step_ = 0, kept_metrics_ = 0;
  std::mutex mutex_;
  std::deque<std::string> news_;
};

}  // namespace trireme::launch
