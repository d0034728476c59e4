#pragma once

#include <optional>

#include "data/sampler.h"
#include "launch/config.h"
#include "launch/data_position.h"

namespace trireme::launch {

// What a run trains and evaluates on.
struct TrainingData {
  std::optional<data::Sampler> train, validation;
  std::vector<OpenDataset> datasets;  // of train

  // The samples of train go on where a checkpoint has left them. Returns what is not as it was.
  std::vector<std::string> go_on(const checkpoints::RunState& saved);
};

// Opens every token file and checks the tokenizer against the model. Throws one DataError with
// everything that is wrong.
TrainingData open_training_data(const Config& config);

}  // namespace trireme::launch
