#pragma once

#include <optional>

#include "data/sampler.h"
#include "launch/config.h"

namespace trireme::launch {

// What a run trains and evaluates on.
struct TrainingData {
  std::optional<data::Sampler> train, validation;
};

// Opens every token file and checks the tokenizer against the model. Throws one DataError with
// everything that is wrong.
TrainingData open_training_data(const Config& config);

}  // namespace trireme::launch
