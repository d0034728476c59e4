#pragma once

#include <map>
#include <optional>

#include "runtime/model/stage.h"

namespace trireme::runtime {

// The stages that one rank holds, and what they share.
class RankModel {
 public:
  struct Options {
    models::Shape shape;                       // of the whole model
    std::map<int, models::LayerRange> stages;  // of this rank, by their number in the pipeline
    std::int64_t sequence = 0;                 // tokens of a sample
    Communicator* tensor = nullptr;  // ranks that share every matrix; nothing: this one alone
    bool sequence_parallel = false;  // these also share the tokens
    Recompute recompute = Recompute::none;
    // Of each stage, so many layers recompute, the first ones; nothing: all.
    std::optional<std::int64_t> recompute_layers = {};
  };

  // `buffers` holds the slices of the units of the stages, and is borrowed.
  RankModel(kernels::Backend& backend, kernels::Stream& stream, const ParameterBuffers& buffers,
            Options options);
  RankModel(const RankModel&) = delete;
  RankModel& operator=(const RankModel&) = delete;

  const Stage& stage(int number) const { return stages_.at(number); }
  // True if it has the embedding or the head: then it reads tokens.
  bool has_end() const;
  const TensorParallel& ranks() const { return ranks_; }

 private:
  Options options_;
  TensorParallel ranks_;
  std::optional<RopeTable> rope_;
  std::map<int, Stage> stages_;
};

}  // namespace trireme::runtime
