#include "launch/resolve_pipeline.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "launch/numbers_text.h"
#include "launch/schedule_file.h"
#include "schedules/catalog.h"
#include "schedules/check.h"
#include "schedules/passes.h"

namespace trireme::launch {
namespace {

using runtime::Axis;
using schedules::Schedule;

// What tensor-parallel ranks share; 0 for what is not known, since its key has a problem.
struct Shared {
  std::int64_t heads = 0, kv_heads = 0, intermediate = 0, vocabulary = 0, tokens = 0;
};

Shared shared_by_ranks(const LoadedConfig& loaded, const models::Shape& shape) {
  // A size that is not given may be that of a model that is not there, or follow from another size.
  const bool has_base = loaded.sound({"model.preset", "model.hf_config"});
  const auto known = [&](const char* key, std::int64_t size, const char* follows_from) {
    const bool given = loaded.places.contains(key);
    const bool is_sound =
        !loaded.rejected(key) && (given || (has_base && loaded.sound({follows_from})));
    return is_sound ? std::max<std::int64_t>(size, 0) : 0;
  };
  const TrainSection& train = loaded.config.train;
  const bool shares_tokens = loaded.config.parallel.sequence &&
                             loaded.sound({"train.micro_batch_size", "train.seq_length"});
  const char* const heads = "model.num_attention_heads";
  return {.heads = known(heads, shape.num_attention_heads, heads),
          .kv_heads = known("model.num_key_value_heads", shape.num_key_value_heads, heads),
          .intermediate =
              known("model.intermediate_size", shape.intermediate_size, "model.hidden_size"),
          .vocabulary = known("model.vocab_size", shape.vocab_size, "model.vocab_size"),
          .tokens = shares_tokens ? train.micro_batch_size * train.seq_length : 0};
}

// What a number of tensor-parallel ranks breaks; nothing if it will do.
std::vector<std::string> broken_rules(const Shared& shared, std::int64_t ranks) {
  std::vector<std::string> broken;
  const auto divides = [&](std::int64_t size) { return size % ranks == 0; };
  const auto require = [&](std::int64_t size, bool holds, const char* rule, const char* name) {
    if (size > 0 && !holds) {
      broken.push_back(std::string(rule) + " " + name + " = " + std::to_string(size));
    }
  };
  require(shared.heads, divides(shared.heads), "divide", "num_attention_heads");
  const bool repeats = shared.kv_heads > 0 && ranks % shared.kv_heads == 0;
  require(shared.kv_heads, divides(shared.kv_heads) || repeats, "divide, or be a multiple of,",
          "num_key_value_heads");
  require(shared.intermediate, divides(shared.intermediate), "divide", "intermediate_size");
  require(shared.vocabulary, shared.vocabulary >= ranks, "be at most", "vocab_size");
  require(shared.tokens, divides(shared.tokens), "divide", "micro_batch_size * seq_length");
  if (!divides(shared.tokens)) broken.back() += " (or set parallel.sequence = false)";
  return broken;
}

// "; valid: 1, 2, 4": the numbers of ranks that break nothing, those nearest to what was asked for.
std::string valid_text(const Shared& shared, std::int64_t asked_for) {
  constexpr std::int64_t kLargest = std::int64_t{1} << 30;  // whose divisors are found at once
  std::vector<std::int64_t> valid;
  for (const std::int64_t size : {shared.heads, shared.intermediate, shared.tokens}) {
    if (size == 0 || size > kLargest) continue;
    for (const std::int64_t ranks : divisors_of(size)) {
      if (broken_rules(shared, ranks).empty()) valid.push_back(ranks);
    }
    break;  // they have to divide all of them
  }
  return valid.empty() ? "" : "; valid: " + listed(nearest(std::move(valid), asked_for));
}

class PipelineResolver {
 public:
  PipelineResolver(LoadedConfig& loaded, runtime::TrainerOptions& options)
      : loaded_(loaded),
        section_(loaded.config.schedule),
        options_(options),
        ranks_(options.mesh.size(Axis::pipeline)),
        micro_batches_(micro_batches_of(loaded, options)) {}

  void run() {
    const std::int64_t asked_for = loaded_.config.parallel.pipeline;
    if (!loaded_.sound({"parallel.pipeline"}) || ranks_ != asked_for) return;
    try {
      if (ranks_ == 1) {
        if (!split(1) || micro_batches_ == 0) return;
        // There is nothing to order: each micro-batch forward, then backward.
        options_.schedule =
            schedules::make_schedule({.kind = "1f1b",
                                      .shape = {.ranks = 1, .micro_batches = micro_batches_},
                                      .cost = {},
                                      .stage_costs = {},
                                      .goal = {.memory_limit = {}}});
      } else if (!loaded_.sound({"schedule.kind", "schedule.virtual_stages"})) {
        has_enough_layers(ranks_);  // whatever the kind
      } else if (section_.kind == "file") {
        read_file();
      } else {
        make();
      }
    } catch (const schedules::ScheduleError& error) {
      const bool own = section_.kind == "file" && ranks_ > 1;
      loaded_.reject(own ? "schedule.file" : "schedule.kind", error.what());
    } catch (const models::ModelError& error) {
      loaded_.reject("schedule.split", error.what());
    } catch (const MissingInput& error) {
      if (loaded_.problems.empty()) throw;
      loaded_.reject("schedule.file", error.what());
    }
  }

 private:
  // Of a step on each replica; 0 if they do not come out even, or for a model that is wrong.
  static int micro_batches_of(const LoadedConfig& loaded, const runtime::TrainerOptions& options) {
    for (const char* section : {"train", "parallel", "model"}) {
      if (loaded.any_rejected(section)) return 0;
    }
    return static_cast<int>(options.global_batch / options.micro_batch /
                            options.mesh.size(Axis::data));
  }

  void make() {
    const schedules::Kind& kind = schedules::kind_named(section_.kind);
    if (kind.two_copies) {
      throw schedules::ScheduleError(
          "keeps two copies of the parameters, which training does not support; dualpipe-v is the "
          "same with one");
    }
    const bool chooses = kind.virtual_stages == 0 && !section_.virtual_stages;
    if (chooses && !has_layers()) return;
    const auto virtual_stages = static_cast<int>(section_.virtual_stages.value_or(
        schedules::usual_virtual_stages(kind, ranks_, options_.model.num_hidden_layers)));
    // What the kind has no choice about is said before what the layers rule out.
    if (kind.virtual_stages > 0 && virtual_stages != kind.virtual_stages) {
      loaded_.reject("schedule.virtual_stages",
                     "must be " + std::to_string(kind.virtual_stages) + " for " + kind.name);
      return;
    }
    if (!split(std::int64_t{ranks_} * virtual_stages) || micro_batches_ == 0) return;
    schedules::Request request;
    request.kind = section_.kind;
    request.shape = {
        .ranks = ranks_, .micro_batches = micro_batches_, .virtual_stages = virtual_stages};
    const schedules::Costs costs = options_.costs.of(options_.stages, ranks_);
    request.stage_costs = costs.stages;
    request.communication = costs.communication;
    if (section_.memory_limit > 0) request.goal.memory_limit = {section_.memory_limit};
    finish(schedules::make_schedule(request));
  }

  void read_file() {
    if (section_.file.empty()) {
      loaded_.reject("schedule.file", "is required for schedule.kind = \"file\"");
      return;
    }
    const Schedule schedule = read_schedule(section_.file);
    const auto have = [](int ranks, int micro_batches) {
      const std::string text = std::to_string(ranks) + " ranks";
      // Where the batch is wrong, there is no number.
      if (micro_batches == 0) return text;
      return text + " and " + std::to_string(micro_batches) + " micro-batches";
    };
    const bool other_batch = micro_batches_ > 0 && schedule.micro_batches != micro_batches_;
    if (schedule.placement.ranks != ranks_ || other_batch) {
      throw schedules::ScheduleError(section_.file + " is for " +
                                     have(schedule.placement.ranks, schedule.micro_batches) +
                                     ", the run has " + have(ranks_, micro_batches_));
    }
    if (schedule.placement.copies() > 1) {
      throw schedules::ScheduleError(section_.file + " keeps two copies of the parameters");
    }
    if (split(schedule.placement.stages) && micro_batches_ > 0) finish(schedule);
  }

  bool has_layers() const {
    return options_.model.num_hidden_layers > 0 &&
           loaded_.sound({"model.num_hidden_layers", "model.preset", "model.hf_config"});
  }

  // For so many stages, if the layers are known and not listed.
  bool has_enough_layers(std::int64_t stages) {
    const std::int64_t layers = options_.model.num_hidden_layers;
    if (!has_layers() || !section_.split.empty() || stages <= layers) return true;
    loaded_.reject("parallel.pipeline", "pipeline * virtual stages = " + std::to_string(stages) +
                                            " stages need a layer each, the model has " +
                                            std::to_string(layers) +
                                            ": use fewer, or list layers in schedule.split");
    return false;
  }

  // False if there are too few layers, or something else is wrong with the model.
  bool split(std::int64_t stages) {
    if (!loaded_.sound({"schedule.split"})) return false;
    if (!section_.split.empty()) {
      if (static_cast<std::int64_t>(section_.split.size()) != stages) {
        loaded_.reject("schedule.split", "must list the layers of each of the " +
                                             std::to_string(stages) + " stages, or be \"auto\"");
        return false;
      }
      if (!has_layers()) return false;
      options_.stages = models::layers_as_listed(options_.model, section_.split);
      return true;
    }
    if (!has_enough_layers(stages) || loaded_.any_rejected("model")) return false;
    options_.stages =
        models::split_layers(options_.model, static_cast<int>(stages), options_.costs.whole());
    return true;
  }

  // A rank runs one pass at a time. Two halves that are neighbors become one pass where the
  // schedule gains nothing from the split: then communication of one can hide behind the other.
  void finish(const Schedule& schedule) {
    options_.schedule = schedules::merge_free_splits(schedules::take_pairs_apart(schedule),
                                                     options_.costs.of(options_.stages, ranks_),
                                                     schedules::Objective::makespan);
  }

  LoadedConfig& loaded_;
  ScheduleSection& section_;
  runtime::TrainerOptions& options_;
  int ranks_;
  int micro_batches_;
};

}  // namespace

void check_tensor(LoadedConfig& loaded, const models::Shape& shape) {
  const ParallelSection& parallel = loaded.config.parallel;
  const Shared shared = shared_by_ranks(loaded, shape);
  const auto broken = broken_rules(shared, parallel.tensor);
  if (parallel.tensor == 1 || broken.empty()) return;
  std::string rules;
  for (const auto& rule : broken) rules += (rules.empty() ? "must " : ", and ") + rule;
  loaded.reject("parallel.tensor", rules + valid_text(shared, parallel.tensor));
}

void resolve_pipeline(LoadedConfig& loaded, runtime::TrainerOptions& options) {
  PipelineResolver(loaded, options).run();
}

}  // namespace trireme::launch
