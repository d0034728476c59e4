#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "data/sampler.h"
#include "runtime/train/trainer.h"

namespace trireme::bench {

// Random tokens in a folder that goes away.
class RandomTokens {
 public:
  RandomTokens(std::int64_t tokens, std::int64_t vocab_size, int rank);
  RandomTokens(const RandomTokens&) = delete;
  RandomTokens& operator=(const RandomTokens&) = delete;
  ~RandomTokens();

  data::Sampler sampler(std::int64_t sequence_length) const {
    const auto file = data::open_token_file(prefix());
    return data::Sampler({.sources = {{file, 1.0, 0, file->tokens()}},
                          .sequence_length = sequence_length,
                          .seed = 1});
  }

 private:
  std::string prefix() const { return (folder_ / "tokens").string(); }

  std::filesystem::path folder_;
};

struct StepOptions {
  models::Shape model;
  std::int64_t sequence_length = 256;
  std::int64_t micro_batch = 8;    // samples of one pass of one rank
  std::int64_t micro_batches = 1;  // of one step, on each replica
  int tensor = 1, pipeline = 1;    // ranks of a replica; the others are replicas
  std::string schedule = "1f1b";
  kernels::Dtype compute = kernels::Dtype::f32;
  runtime::Recompute recompute = runtime::Recompute::none;
  bool deterministic = false;
  std::int64_t steps = 10;
  std::int64_t warmup = 2;  // steps not counted

  std::int64_t global_batch(int ranks) const;
};

// A run of such steps on so many ranks.
runtime::TrainerOptions training_options(const StepOptions& options, int ranks);

}  // namespace trireme::bench
