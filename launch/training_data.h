#pragma once

#include <optional>

#include "data/sampler.h"
#include "launch/config_file.h"
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
// everything that is wrong, and where the config asks for it.
TrainingData open_training_data(const LoadedConfig& loaded);

// Adds what open_training_data would say of the files to the problems of a config that has others:
// everything is said at once.
void add_file_problems(LoadedConfig& loaded);

}  // namespace trireme::launch
