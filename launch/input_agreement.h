#pragma once

#include <string>

#include "launch/bootstrap.h"
#include "launch/config_file.h"
#include "launch/training_data.h"

namespace trireme::launch {

// How the second of two different texts differs from the first: "\"lr = 1\" where rank 0 has
// \"lr = 2\"", of the first line that is not the same.
std::string first_difference(const std::string& rank_0, const std::string& other);

// Collective. Every rank reads its files itself: a stale copy on one node would train something
// else there, and nothing would show it. If the texts are not the same, every rank ends, and rank 0
// says who read another `what` than it, and how it differs.
void agree_on(Job& job, const std::string& what, const std::string& text);

// What has to be the same: the program and its whole config; and the data.
std::string text_of_config(const LoadedConfig& loaded);
std::string text_of_data(const TrainingData& data);

}  // namespace trireme::launch
