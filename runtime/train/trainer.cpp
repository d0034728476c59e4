#include "runtime/train/trainer.h"

#include <time.h>

#include <chrono>
#include <utility>

#include "runtime/train/conservation.h"
#include "schedules/passes.h"

namespace trireme::runtime {
namespace {

// Time that the calling thread has run on some core: it enqueues work, and sleeps when it waits.
double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// By lower() no program can hang; a proof of this one costs milliseconds.
schedules::Program proven(const schedules::Schedule& schedule) {
  schedules::Program program = schedules::lower(schedule);
  const std::string cycle = schedules::deadlock_of(program);
  kernels::expects(cycle.empty(), "a program that cannot hang: " + cycle);
  return program;
}

}  // namespace

Trainer::Trainer(kernels::Backend& backend, Communicator& world, const data::Sampler& train,
                 const data::Sampler* validation, TrainerOptions options)
    : backend_(backend),
      options_(std::move(options)),
      mesh_(world, options_.mesh),
      compute_(backend.make_stream()),
      train_(train, split()) {
  if (validation) validation_.emplace(*validation, split());
  if (options_.spans) options_.spans->name_lane(*compute_, "compute");
  build(own_stages());
  if (backend.first_use_waits()) {
    warm_up(backend, *compute_, *model_, own_stages(), pass_shape(),
            options_.deterministic ? Ways::the_first : Ways::the_fastest);
    backend.reset_memory_peaks();  // of training, not of what trying ways took
  }
}

std::map<int, models::LayerRange> Trainer::own_stages() const {
  std::map<int, models::LayerRange> stages;
  for (int stage = 0; stage < options_.schedule.placement.stages; ++stage) {
    if (options_.schedule.rank_of(stage, 0) != mesh_.coordinate(Axis::pipeline)) continue;
    stages.emplace(stage, options_.stages.at(static_cast<std::size_t>(stage)));
  }
  return stages;
}

void Trainer::build(std::map<int, models::LayerRange> stages) {
  Communicator& tensor = mesh_.group(Axis::tensor);
  Communicator& pipeline = mesh_.group(Axis::pipeline);
  models::UnitsByStage units;
  bool has_end = false;
  for (const auto& [number, layers] : stages) {
    units.push_back(models::units_of(options_.model, layers));
    has_end |= layers.embedding || layers.head;
  }
  buffers_ = std::make_unique<ParameterBuffers>(
      backend_, *compute_, models::shards_of(options_.model, units, tensor.rank(), tensor.size()),
      ParameterBuffers::Options{.dtype = options_.compute,
                                .owners = mesh_.shape().size(Axis::data),
                                .bucket_elements = options_.bucket_elements});
  check_conservation(backend_, *compute_, mesh_, options_.model, *buffers_, stages);
  model_ = std::make_unique<RankModel>(
      backend_, *compute_, *buffers_,
      RankModel::Options{.shape = options_.model,
                         .stages = std::move(stages),
                         .sequence = options_.sequence_length,
                         .tensor = &tensor,
                         .sequence_parallel = options_.sequence_parallel,
                         .recompute = options_.recompute,
                         .recompute_layers = options_.recompute_layers});
  DataParallelOptions data_parallel = options_.data_parallel;
  data_parallel.sequence_parallel = options_.sequence_parallel;
  data_parallel.spans = options_.spans;
  data_parallel_ = std::make_unique<DataParallel>(
      backend_, *compute_, *buffers_,
      make_parameter_groups(mesh_, static_cast<int>(options_.model.num_key_value_heads), has_end),
      data_parallel);
  data_parallel_->initialize(options_.seed);
  state_ = std::make_unique<RankState>(backend_, *compute_, *buffers_, *data_parallel_);
  const PassShape passes = pass_shape();
  const Executor::MessageFormat message{.shape = passes.activation, .dtype = passes.dtype};
  training_ = std::make_unique<Executor>(backend_, *compute_, proven(options_.schedule), pipeline,
                                         message, options_.spans);
  if (validation_) {
    evaluation_ = std::make_unique<Executor>(
        backend_, *compute_, schedules::lower(schedules::forward_only(options_.schedule)),
        *training_, message);
  }
  step_ = std::make_unique<TrainingStep>(
      TrainingStep::Parts{.backend = backend_,
                          .compute = *compute_,
                          .model = *model_,
                          .data_parallel = *data_parallel_,
                          .training = *training_,
                          .evaluation = evaluation_.get()},
      TrainingStepOptions{.clip_norm = options_.clip_norm,
                          .loss_scale = options_.loss_scale,
                          .post_validation = options_.post_validation});
}

PassShape Trainer::pass_shape() const {
  const std::int64_t tokens = options_.micro_batch * options_.sequence_length;
  return {.tokens = tokens,
          .activation = {model_->ranks().local_tokens(tokens), options_.model.hidden_size},
          .dtype = options_.compute};
}

void Trainer::go_on(const checkpoints::Progress& progress) {
  progress_ = progress;
  optim::LossScale scale = options_.loss_scale;
  scale.go_on(progress.loss_scale, progress.loss_scale_good_steps);
  step_->go_on(progress.updates, scale);
}

Outcome Trainer::run(const TrainerObserver& observer, const std::atomic<bool>& stop) {
  const Outcome outcome = run_steps(observer, stop);
  // However it ended, the parameters are those of the last update everywhere.
  data_parallel_->synchronize();
  show_trace(observer);
  return outcome;
}

Outcome Trainer::run_steps(const TrainerObserver& observer, const std::atomic<bool>& stop) {
  StepRecord record;
  bool is_settled = true;
  if (std::exchange(owes_evaluation_, false) && evaluates_after(progress_.step)) {
    evaluate(progress_.step, observer);
  }
  auto start = std::chrono::steady_clock::now();
  take_host_seconds();
  const auto settle_now = [&] {
    const auto ended = settle(record, observer, start);
    start = std::chrono::steady_clock::now();
    is_settled = true;
    return ended;
  };
  // With what was done at the end of the last of its steps, a checkpoint for example.
  const auto show_whole_trace = [&] {
    if (!options_.spans || record.step != options_.spans->steps().last) return;
    data_parallel_->synchronize();
    show_trace(observer);
    start = std::chrono::steady_clock::now();
  };
  for (std::int64_t step = progress_.step + 1; step <= options_.steps; ++step) {
    begin_recording(step);
    step_->start(train_, progress_.samples + (is_settled ? 0 : options_.global_batch));
    if (!is_settled) {
      if (const auto ended = settle_now()) {
        step_->abandon();
        return *ended;
      }
      show_whole_trace();
    }
    record.step = step;
    record.learning_rate = options_.learning_rate.at(step);
    step_->finish(record.learning_rate, stop);
    is_settled = false;
    const bool evaluates = evaluates_after(step);
    const bool saves = observer.checkpoint && saves_after(step);
    if (step_->is_open() && !evaluates && !saves && step < options_.steps) continue;
    if (const auto ended = settle_now()) return *ended;
    if (options_.spans) options_.spans->end_step();
    if (saves) {
      observer.checkpoint();
      record_on_host(step, "checkpoint", start);
      start = std::chrono::steady_clock::now();
    }
    if (evaluates) {
      evaluate(step, observer);
      record_on_host(step, "evaluation", start);
      start = std::chrono::steady_clock::now();
    }
    show_whole_trace();
    if (saves || evaluates) take_host_seconds();
  }
  return Outcome::finished;
}

std::optional<Outcome> Trainer::settle(StepRecord& record, const TrainerObserver& observer,
                                       std::chrono::steady_clock::time_point start) {
  record.result = step_->settle();
  record.host_seconds = take_host_seconds();
  record.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  progress_.step = record.step;
  progress_.samples += options_.global_batch;
  progress_.tokens += options_.global_batch * options_.sequence_length;
  record.tokens = progress_.tokens;
  progress_.updates = step_->updates();
  progress_.skipped_steps += record.result.skipped;
  progress_.skipped_in_a_row = record.result.skipped ? progress_.skipped_in_a_row + 1 : 0;
  progress_.loss_scale = step_->loss_scale().value();
  progress_.loss_scale_good_steps = step_->loss_scale().good_steps();
  record.skipped_steps = progress_.skipped_steps;
  record.memory = backend_.memory();
  record_on_host(record.step, "step " + std::to_string(record.step), start);
  observer.step(record);
  if (progress_.skipped_in_a_row > options_.max_skipped_steps) return Outcome::diverged;
  if (record.result.stop && record.step < options_.steps) return Outcome::stopped;
  return std::nullopt;
}

bool Trainer::evaluates_after(std::int64_t step) const {
  return validation_ && options_.eval_interval > 0 &&
         (step == options_.steps || step % options_.eval_interval == 0);
}

bool Trainer::saves_after(std::int64_t step) const {
  return options_.checkpoint_interval > 0 &&
         (step == options_.steps || step % options_.checkpoint_interval == 0);
}

BatchSplit Trainer::split() const {
  return {.global_batch = options_.global_batch,
          .micro_batch = options_.micro_batch,
          .data_rank = mesh_.coordinate(Axis::data),
          .data_ranks = mesh_.shape().size(Axis::data)};
}

void Trainer::evaluate(std::int64_t step, const TrainerObserver& observer) {
  double total = 0;
  for (std::int64_t batch = 0; batch < options_.eval_batches; ++batch) {
    // The same samples every time, so that evaluations compare.
    total += step_->evaluate(*validation_, batch * options_.global_batch);
  }
  observer.evaluation(step, total / static_cast<double>(options_.eval_batches));
}

// Since it was last asked.
double Trainer::take_host_seconds() {
  const double now = thread_seconds();
  return now - std::exchange(host_seconds_, now);
}

void Trainer::begin_recording(std::int64_t step) {
  if (options_.spans) options_.spans->begin_step(step, *compute_);
}

void Trainer::record_on_host(std::int64_t step, const std::string& name,
                             std::chrono::steady_clock::time_point start) {
  if (!options_.spans || !options_.spans->steps().contains(step)) return;
  options_.spans->add_on_host({.name = name, .kind = "host"}, start,
                              std::chrono::steady_clock::now());
}

// Every stream has passed what was recorded.
void Trainer::show_trace(const TrainerObserver& observer) {
  if (!options_.spans) return;
  const std::vector<Span> spans = options_.spans->take(*compute_);
  if (!spans.empty() && observer.trace) observer.trace(spans);
}

}  // namespace trireme::runtime
