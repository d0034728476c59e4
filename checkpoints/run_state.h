#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace trireme::checkpoints {

// How far the samples of a dataset have come.
struct DataPosition {
  std::int64_t samples = 0;  // given so far
  std::int64_t epoch = 0;
  std::int64_t chunk_tokens = 0;  // this epoch is cut into chunks of so many tokens
  std::int64_t epoch_tokens = 0;  // and of these, so many have been given
};

// One dataset of a blend.
struct DatasetState {
  std::string path;
  double weight = 1;
  std::int64_t tokens = 0;                       // of the whole file
  std::string fingerprint;                       // of its content
  std::int64_t first_token = 0, last_token = 0;  // the range that is trained on
  std::int64_t stream = 0;  // which of the run's orders of samples is this dataset's
  DataPosition start = {};  // when the blend was last changed
  DataPosition now = {};
};

// How far a run has come: all there is to it but tensors and data.
struct Progress {
  std::int64_t step = 0;     // finished steps
  std::int64_t samples = 0;  // trained on
  std::int64_t tokens = 0;   // of these
  std::int64_t updates = 0;  // of the optimizer: steps that were not skipped
  std::int64_t skipped_steps = 0;
  std::int64_t skipped_in_a_row = 0;
  double loss_scale = 1;
  std::int64_t loss_scale_good_steps = 0;
};

// Everything about a run that is not a tensor. All that is random is a function of the seed and of
// global indices, so the seed and the positions are the whole state of the random numbers.
struct RunState {
  Progress progress = {};
  std::int64_t blend_start_samples = 0;  // when the blend was last changed
  std::int64_t sequence_length = 0;
  std::int64_t seed = 0;
  bool shuffle = true;
  std::vector<DatasetState> datasets = {};
};

}  // namespace trireme::checkpoints
