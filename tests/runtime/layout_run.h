#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "runtime/train/trainer.h"
#include "schedules/catalog.h"
#include "tests/support/corpus.h"
#include "tests/support/device.h"
#include "tests/support/ranks.h"

namespace trireme::runtime {

// How a run is spread over ranks.
struct Layout {
  int tensor = 1, pipeline = 1, data = 1;
  std::string kind = "1f1b";
  int virtual_stages = 0;  // the kind's own
  bool sequence = true;
  int zero_stage = 1;
  Recompute recompute = Recompute::none;
  bool post_validation = false;

  int ranks() const { return tensor * pipeline * data; }
  std::string name() const {
    return kind + " v" + std::to_string(virtual_stages) + " tp" + std::to_string(tensor) + " pp" +
           std::to_string(pipeline) + " dp" + std::to_string(data) + (sequence ? " sp" : "") +
           " zero" + std::to_string(zero_stage) + " recompute" +
           std::to_string(static_cast<int>(recompute)) +
           (post_validation ? " post-validation" : "");
  }
};

// What is trained; the layout has no say in it.
struct Task {
  models::Shape shape;
  std::int64_t sequence_length = 8;
  std::int64_t global_batch = 12;
  std::int64_t micro_batch = 1;
  std::int64_t steps = 3;
};

inline TrainerOptions options_of(const Task& task, const Layout& layout) {
  TrainerOptions options;
  options.model = task.shape;
  const auto set = [&](Axis axis, int size) {
    options.mesh.sizes[static_cast<std::size_t>(axis)] = size;
  };
  set(Axis::tensor, layout.tensor);
  set(Axis::pipeline, layout.pipeline);
  set(Axis::data, layout.data);
  schedules::Request request;
  request.kind = layout.kind;
  request.shape = {
      .ranks = layout.pipeline,
      .micro_batches = static_cast<int>(task.global_batch / task.micro_batch / layout.data),
      .virtual_stages = layout.virtual_stages};
  request.goal.effort = 0.02;
  options.schedule = schedules::make_schedule(request);
  options.stages = models::split_layers(task.shape, options.schedule.placement.stages,
                                        models::unit_flops(task.shape, task.sequence_length));
  options.sequence_parallel = layout.sequence;
  options.sequence_length = task.sequence_length;
  options.global_batch = task.global_batch;
  options.micro_batch = task.micro_batch;
  options.steps = task.steps;
  options.eval_interval = task.steps;
  options.seed = 7;
  options.learning_rate = {.peak = 1e-2, .minimum = 1e-3, .warmup_steps = 2, .total_steps = 8};
  options.data_parallel.zero_stage = layout.zero_stage;
  options.recompute = layout.recompute;
  options.post_validation = layout.post_validation;
  options.bucket_elements = 500;
  return options;
}

// What a run came to. Tensors are whole, by their global names.
struct RunResult {
  std::vector<double> losses, norms, evaluations;
  int skipped = 0, taken_back = 0;  // steps
  std::map<std::string, std::vector<double>> weights;
};

// Puts a rank's slice in its place; where several ranks hold an element, they must agree on it.
inline void add_slice(RunResult& result, const models::Shard& shard,
                      const std::vector<double>& values) {
  auto& whole = result.weights[shard.parameter.name];
  whole.resize(static_cast<std::size_t>(shard.parameter.size()), NAN);
  const models::Slice& slice = shard.slice;
  for (std::int64_t r = 0; r < slice.rows; ++r) {
    for (std::int64_t c = 0; c < slice.columns; ++c) {
      const double value = values[static_cast<std::size_t>(r * slice.columns + c)];
      double& place = whole[static_cast<std::size_t>(
          (slice.first_row + r) * shard.parameter.columns + slice.first_column + c)];
      if (!std::isnan(place)) {
        ASSERT_EQ(place, value) << shard.parameter.name << " differs between ranks";
      }
      place = value;
    }
  }
}

// What a rank trains with: a group of all, made of one that only this rank holds.
using WrapWorld =
    std::function<std::unique_ptr<Communicator>(std::unique_ptr<Communicator>, kernels::Backend&)>;

inline RunResult run_with(
    const test::Corpus& corpus, const TrainerOptions& options,
    const WrapWorld& wrap = [](std::unique_ptr<Communicator> world, kernels::Backend&) {
      return world;
    }) {
  RunResult result;
  std::mutex mutex;
  const std::atomic<bool> stop = false;
  const data::Sampler sampler = corpus.sampler(options.sequence_length, 3);
  test::on_ranks(options.mesh.world(), [&](Communicator& world) {
    test::Device device;
    const auto wrapped = wrap(world.split(0, world.name()), *device.backend);
    Trainer trainer(*device.backend, *wrapped, sampler, &sampler, options);
    trainer.run({.step =
                     [&](const StepRecord& record) {
                       if (world.rank() != 0) return;
                       result.losses.push_back(record.result.loss);
                       result.norms.push_back(record.result.gradient_norm);
                       result.skipped += record.result.skipped;
                       result.taken_back += record.result.taken_back;
                     },
                 .evaluation =
                     [&](std::int64_t, double loss) {
                       if (world.rank() == 0) result.evaluations.push_back(loss);
                     }},
                stop);
    const std::lock_guard lock(mutex);
    for (const auto& slot : trainer.parameters().slots()) {
      const auto values = device.values(trainer.parameters().weight(slot.parameter().name).value);
      add_slice(result, slot.shard, values);
    }
  });
  return result;
}

inline RunResult run_layout(const test::Corpus& corpus, const Task& task, const Layout& layout) {
  return run_with(corpus, options_of(task, layout));
}

inline void expect_same_run(const RunResult& found, const RunResult& expected) {
  const auto expect_close = [](const std::vector<double>& a, const std::vector<double>& b,
                               double tolerance, const char* what) {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      EXPECT_NEAR(a[i], b[i], tolerance * std::abs(b[i])) << what << " " << i;
    }
  };
  expect_close(found.losses, expected.losses, 1e-5, "loss");
  expect_close(found.norms, expected.norms, 1e-4, "norm");
  expect_close(found.evaluations, expected.evaluations, 1e-5, "evaluation");
  ASSERT_EQ(found.weights.size(), expected.weights.size());
  for (const auto& [name, values] : expected.weights) {
    // A key's bias has no gradient but rounding, of which AdamW makes updates of full size.
    if (name.ends_with("k_proj.bias")) continue;
    EXPECT_LE(test::relative_error(found.weights.at(name), values), 1e-3) << name;
  }
}

}  // namespace trireme::runtime
