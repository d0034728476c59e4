#pragma once

#include <string>
#include <vector>

#include "checkpoints/run_state.h"
#include "data/sampler.h"
#include "launch/config.h"

namespace trireme::launch {

// One training file of a config, opened.
struct OpenDataset {
  DatasetEntry entry;
  std::string fingerprint;
  data::Source source;
};

// Where a run's samples go on.
struct DataStart {
  data::Sampling::Start start;
  std::vector<std::int64_t> streams;  // of each dataset
  std::vector<std::string> notes;     // what is not as it was, for people
};

// Finds the datasets of a checkpoint again, by path or by content. Nothing changed: the same
// samples as without the interruption. Other weights, other datasets, another length of a sample:
// what has not been seen yet, blended anew. Throws DataError{corrupt} for a file that is not what
// it was.
DataStart go_on_with_data(const checkpoints::RunState& saved,
                          const std::vector<OpenDataset>& datasets, std::int64_t sequence_length);

// The part of a checkpoint's state that is about data, after as many samples as its progress says.
void describe_data(checkpoints::RunState& state, const std::vector<OpenDataset>& datasets,
                   const data::Sampler& sampler);

}  // namespace trireme::launch
