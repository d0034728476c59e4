#include "runtime/train/measure_costs.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "runtime/comm/numbers.h"

namespace trireme::runtime {
namespace {

using kernels::Category;
using kernels::Dtype;
using kernels::Tensor;
using models::UnitCosts;

constexpr int kRounds = 5;  // counted; one more comes before them
constexpr std::uint64_t kSeed = 1;

double seconds_of(kernels::Stream& stream, const auto& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  stream.synchronize();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The fastest of the rounds: what disturbs one is no cost of the pass.
class Fastest {
 public:
  void add(int round, double seconds) {
    if (round > 0) seconds_ = std::min(seconds_, seconds);
  }
  double seconds() const { return seconds_; }

 private:
  double seconds_ = std::numeric_limits<double>::infinity();
};

// Of one pass: embedding, layer and head.
using Samples = std::array<Fastest, 3>;

UnitCosts costs_of(const Samples& samples) {
  return {.embedding = samples[0].seconds(),
          .layer = samples[1].seconds(),
          .head = samples[2].seconds()};
}

// An embedding, a layer and a head, each a stage of its own.
class Trial {
 public:
  Trial(kernels::Backend& backend, Communicator& tensor, const TrainerOptions& options,
        Recompute recompute)
      : backend_(backend),
        stream_(backend.make_stream()),
        options_(options),
        buffers_(backend, *stream_,
                 models::shards_of(options.model, {units()}, tensor.rank(), tensor.size()),
                 {.dtype = options.compute}),
        model_(backend, *stream_, buffers_,
               {.shape = options.model,
                .stages = {{0, {.embedding = true}},
                           {1, {.count = 1}},
                           {2, {.first = 1, .head = true}}},
                .sequence = options.sequence_length,
                .tensor = &tensor,
                .sequence_parallel = options.sequence_parallel,
                .recompute = recompute}) {
    fill();
  }

  PassCosts run() {
    Samples forward, backward_input, backward_weight;
    for (int round = 0; round <= kRounds; ++round) {
      std::array<Stage::Saved, 3> saved;
      Tensor x;
      for (int unit = 0; unit < 3; ++unit) {
        const auto at = static_cast<std::size_t>(unit);
        Stage::Saved& mine = saved[at];
        forward[at].add(round, seconds_of(*stream_, [&] {
                          x = model_.stage(unit).forward(*stream_, std::move(x), micro_batch(),
                                                         mine, [](int) {});
                        }));
      }
      Tensor d_x;
      for (int unit = 2; unit >= 0; --unit) {
        const auto at = static_cast<std::size_t>(unit);
        Stage::Saved& mine = saved[at];
        const Stage& stage = model_.stage(unit);
        backward_input[at].add(round, seconds_of(*stream_, [&] {
                                 d_x = stage.backward_input(*stream_, std::move(d_x), mine);
                               }));
        backward_weight[at].add(round, seconds_of(*stream_, [&] {
                                  stage.backward_weight(*stream_, std::move(mine), [](int) {});
                                }));
      }
    }
    return {.forward = costs_of(forward),
            .backward_input = costs_of(backward_input),
            .backward_weight = costs_of(backward_weight)};
  }

 private:
  std::vector<int> units() const { return {0, 1, models::unit_count(options_.model) - 1}; }

  MicroBatch micro_batch() const {
    return {.tokens = tokens_, .target = {.tokens = tokens_, .loss = loss_}};
  }

  void fill() {
    for (int b = 0; b < buffers_.buckets(); ++b) {
      const std::vector<float> values = buffers_.initial_values(b, kSeed);
      const Tensor exact =
          backend_.allocate(*stream_, buffers_.values(b).shape(), Dtype::f32, Category::workspace);
      backend_.upload(*stream_, std::as_bytes(std::span(values)), exact);
      backend_.run(*stream_, kernels::Convert{.x = exact, .out = buffers_.values(b)});
      backend_.run(*stream_, kernels::Fill{.out = buffers_.gradients(b), .value = 0});
      stream_->synchronize();
    }
    std::vector<std::int32_t> ids(
        static_cast<std::size_t>(options_.micro_batch * options_.sequence_length));
    std::mt19937 random(kSeed);
    std::uniform_int_distribution<std::int32_t> any(
        0, static_cast<std::int32_t>(options_.model.vocab_size - 1));
    for (std::int32_t& id : ids) id = any(random);
    tokens_ = backend_.allocate(*stream_, {static_cast<std::int64_t>(ids.size()), 1}, Dtype::i32,
                                Category::activations);
    backend_.upload(*stream_, std::as_bytes(std::span(ids)), tokens_);
    loss_ = backend_.allocate(*stream_, {1, 1}, Dtype::f64, Category::workspace);
    backend_.run(*stream_, kernels::Fill{.out = loss_, .value = 0});
    stream_->synchronize();
  }

  kernels::Backend& backend_;
  std::unique_ptr<kernels::Stream> stream_;
  const TrainerOptions& options_;
  ParameterBuffers buffers_;
  RankModel model_;
  Tensor tokens_, loss_;
};

// One message to the next rank while one comes from the rank before, as in the steady state.
double message_seconds(kernels::Backend& backend, Communicator& pipeline, kernels::Shape shape,
                       Dtype dtype) {
  if (pipeline.size() == 1) return 0;
  const auto neighbors = pipeline.split(0, "messages", {.only_messages = true});
  const auto stream = backend.make_stream();
  const Tensor out = backend.allocate(*stream, shape, dtype, Category::activations);
  const Tensor in = backend.allocate(*stream, shape, dtype, Category::activations);
  backend.run(*stream, kernels::Fill{.out = out, .value = 0});
  const int size = pipeline.size();
  const std::array<Message, 1> sent{{{(pipeline.rank() + 1) % size, out}}};
  const std::array<Message, 1> received{{{(pipeline.rank() + size - 1) % size, in}}};
  Fastest fastest;
  for (int round = 0; round <= kRounds; ++round) {
    fastest.add(round, seconds_of(*stream, [&] { neighbors->exchange(*stream, sent, received); }));
  }
  return fastest.seconds();
}

// Of the layers, how many compute again what they did not keep.
double recomputing_share(const TrainerOptions& options) {
  if (!options.recompute_layers) return 1;
  const auto layers = static_cast<double>(options.model.num_hidden_layers);
  const auto most =
      static_cast<double>(*options.recompute_layers) * static_cast<double>(options.stages.size());
  return std::min(1.0, most / layers);
}

}  // namespace

PassCosts measure_pass_costs(kernels::Backend& backend, Communicator& world,
                             const TrainerOptions& options) {
  const Mesh mesh(world, options.mesh);
  Communicator& tensor = mesh.group(Axis::tensor);
  const double share = options.recompute == Recompute::none ? 0 : recomputing_share(options);
  // As training will do it.
  backend.try_ways(options.deterministic ? 0 : kernels::Backend::kUsualWays);
  PassCosts costs = Trial(backend, tensor, options, Recompute::none).run();
  if (share > 0) {
    const PassCosts again = Trial(backend, tensor, options, options.recompute).run();
    costs.backward_input.layer += share * (again.backward_input.layer - costs.backward_input.layer);
  }
  backend.try_ways(0);
  const std::int64_t tokens = options.micro_batch * options.sequence_length;
  const int sharing = options.sequence_parallel ? tensor.size() : 1;
  costs.message = message_seconds(backend, mesh.group(Axis::pipeline),
                                  {tokens / sharing, options.model.hidden_size}, options.compute);
  std::vector<double> numbers;
  const auto each = [&](const auto& visit) {
    for (UnitCosts* pass : {&costs.forward, &costs.backward_input, &costs.backward_weight}) {
      visit(pass->embedding);
      visit(pass->layer);
      visit(pass->head);
    }
    visit(costs.message);
  };
  each([&](double& number) { numbers.push_back(number / world.size()); });
  const auto stream = backend.make_stream();
  sum_numbers(backend, *stream, world, numbers);
  std::size_t next = 0;
  each([&](double& number) { number = numbers[next++]; });
  return costs;
}

}  // namespace trireme::runtime
