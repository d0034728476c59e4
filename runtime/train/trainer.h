#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "checkpoints/run_state.h"
#include "data/sampler.h"
#include "models/work.h"
#include "optim/learning_rate.h"
#include "runtime/comm/mesh.h"
#include "runtime/trace/span_log.h"
#include "runtime/train/pass_costs.h"
#include "runtime/train/rank_state.h"
#include "runtime/train/step.h"
#include "runtime/train/warm_up.h"

namespace trireme::runtime {

struct TrainerOptions {
  models::Shape model;
  MeshShape mesh;
  // For as many ranks as the pipeline has and as many micro-batches as a step has on each replica.
  schedules::Schedule schedule;
  std::vector<models::LayerRange> stages;  // of the schedule
  PassCosts costs;                         // that both were made for
  bool sequence_parallel = true;           // where tensor-parallel ranks are several
  Recompute recompute = Recompute::none;
  std::optional<std::int64_t> recompute_layers;  // the first ones of each stage; nothing: all
  kernels::Dtype compute = kernels::Dtype::f32;
  std::int64_t sequence_length = 0;
  std::int64_t global_batch = 1;  // samples
  std::int64_t micro_batch = 1;   // samples
  std::int64_t steps = 1;
  std::int64_t eval_interval = 0;  // steps; 0: never
  std::int64_t eval_batches = 1;   // global batches of an evaluation
  std::int64_t max_skipped_steps = 20;
  std::int64_t checkpoint_interval = 0;  // steps; 0: never
  std::uint64_t seed = 0;
  optim::LearningRate learning_rate;
  double clip_norm = 1;
  optim::LossScale loss_scale;
  bool post_validation = false;  // see TrainingStepOptions
  bool deterministic = false;    // also where a device is faster if runs may differ in their bits
  DataParallelOptions data_parallel;
  std::int64_t bucket_elements = ParameterBuffers::Options().bucket_elements;
  SpanLog* spans = nullptr;  // borrowed: what is to be told of the steps that it records
};

// A finished step, as it is shown and logged.
struct StepRecord {
  std::int64_t step = 0;  // from 1
  StepResult result;
  std::int64_t tokens = 0;  // trained on so far
  double learning_rate = 0;
  double seconds = 0;       // since the step before was known
  double host_seconds = 0;  // of these this rank's host worked: near all of them, it is too slow
  std::int64_t skipped_steps = 0;  // so far
  kernels::MemoryUse memory;       // of this rank
};

// What a run tells about itself while it goes on, on every rank.
struct TrainerObserver {
  std::function<void(const StepRecord&)> step;
  std::function<void(std::int64_t step, double loss)> evaluation;
  // A checkpoint is due, and nothing is under way. Not called if nothing.
  std::function<void()> checkpoint = {};
  // What was recorded, once: after the last step of it, or at the end of the run before that.
  std::function<void(const std::vector<Span>&)> trace = {};
};

enum class Outcome { finished, stopped, diverged };

// A model, its optimizer and its data on the ranks of one world, and the loop over steps.
class Trainer {
 public:
  // Collective over `world`. `validation` may be nothing. All are borrowed.
  Trainer(kernels::Backend& backend, Communicator& world, const data::Sampler& train,
          const data::Sampler* validation, TrainerOptions options);

  // How far it has come, between steps.
  const checkpoints::Progress& progress() const { return progress_; }
  // Goes on from there: what has been loaded into state() belongs to it.
  void go_on(const checkpoints::Progress& progress);
  // The evaluation after that step was not made: the run begins with it, if one was due.
  void owe_evaluation() { owes_evaluation_ = true; }

  // What this rank writes into checkpoints and reads from them.
  RankState& state() { return *state_; }
  kernels::Stream& compute() { return *compute_; }

  // Trains until the last step, until some rank's `stop` is set, or until too many steps in a row
  // had to be skipped. Collective.
  Outcome run(const TrainerObserver& observer, const std::atomic<bool>& stop);

  // What this rank holds. Gradients are whole after gather_gradients only, which is collective.
  const ParameterBuffers& parameters() const { return *buffers_; }
  void gather_gradients() { data_parallel_->gather_gradients(); }
  const Mesh& mesh() const { return mesh_; }

 private:
  BatchSplit split() const;
  PassShape pass_shape() const;
  std::map<int, models::LayerRange> own_stages() const;
  void build(std::map<int, models::LayerRange> stages);
  Outcome run_steps(const TrainerObserver& observer, const std::atomic<bool>& stop);
  bool evaluates_after(std::int64_t step) const;
  bool saves_after(std::int64_t step) const;
  // Completes the record of the last finished step and shows it. Returns how the run ends with it,
  // if it does.
  std::optional<Outcome> settle(StepRecord& record, const TrainerObserver& observer,
                                std::chrono::steady_clock::time_point start);
  void evaluate(std::int64_t step, const TrainerObserver& observer);
  double take_host_seconds();
  void begin_recording(std::int64_t step);
  void record_on_host(std::int64_t step, const std::string& name,
                      std::chrono::steady_clock::time_point start);
  void show_trace(const TrainerObserver& observer);

  kernels::Backend& backend_;
  TrainerOptions options_;
  Mesh mesh_;
  std::unique_ptr<kernels::Stream> compute_;
  std::unique_ptr<ParameterBuffers> buffers_;
  std::unique_ptr<DataParallel> data_parallel_;
  std::unique_ptr<RankState> state_;
  std::unique_ptr<RankModel> model_;
  std::unique_ptr<Executor> training_, evaluation_;
  std::unique_ptr<TrainingStep> step_;
  Batches train_;
  std::optional<Batches> validation_;
  checkpoints::Progress progress_;
  bool owes_evaluation_ = false;
  double host_seconds_ = 0;  // of the calling thread, when a step was last known
};

}  // namespace trireme::runtime
