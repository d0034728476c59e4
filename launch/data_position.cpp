#include "launch/data_position.h"

#include <algorithm>
#include <optional>

#include "data/error.h"

namespace trireme::launch {
namespace {

using checkpoints::DataPosition;
using checkpoints::DatasetState;

data::Position position_of(const DataPosition& saved) {
  return {.samples = saved.samples,
          .epoch = saved.epoch,
          .chunk_tokens = saved.chunk_tokens,
          .epoch_tokens = saved.epoch_tokens};
}

DataPosition saved_of(const data::Position& position) {
  return {.samples = position.samples,
          .epoch = position.epoch,
          .chunk_tokens = position.chunk_tokens,
          .epoch_tokens = position.epoch_tokens};
}

// Which dataset of the checkpoint each dataset of the config is; -1 for one that is new.
class Matching {
 public:
  Matching(const std::vector<DatasetState>& saved, const std::vector<OpenDataset>& datasets)
      : saved_(saved), taken_(saved.size(), false), found_(datasets.size(), -1) {
    // Paths first: a copy of a file next to it must not take its place.
    for (std::size_t i = 0; i < datasets.size(); ++i) {
      take(i, [&](const DatasetState& one) { return one.path == datasets[i].entry.path; });
    }
    for (std::size_t i = 0; i < datasets.size(); ++i) {
      if (found_[i] >= 0) continue;
      take(i, [&](const DatasetState& one) { return one.fingerprint == datasets[i].fingerprint; });
    }
  }

  int operator[](std::size_t dataset) const { return found_[dataset]; }

  std::vector<const DatasetState*> gone() const {
    std::vector<const DatasetState*> all;
    for (std::size_t s = 0; s < saved_.size(); ++s) {
      if (!taken_[s]) all.push_back(&saved_[s]);
    }
    return all;
  }

 private:
  template <class Condition>
  void take(std::size_t dataset, const Condition& condition) {
    for (std::size_t s = 0; s < saved_.size(); ++s) {
      if (taken_[s] || !condition(saved_[s])) continue;
      taken_[s] = true;
      found_[dataset] = static_cast<int>(s);
      return;
    }
  }

  const std::vector<DatasetState>& saved_;
  std::vector<bool> taken_;
  std::vector<int> found_;
};

void check_content(const DatasetState& saved, const OpenDataset& dataset) {
  const auto differs = [&](const std::string& what) {
    throw data::DataError(data::Fault::corrupt,
                          dataset.entry.path +
                              ": is not what the checkpoint was trained on: " + what +
                              "; put the file back, or start its samples anew with --reset data");
  };
  if (saved.fingerprint != dataset.fingerprint) {
    differs("it had " + std::to_string(saved.tokens) + " tokens and fingerprint " +
            saved.fingerprint + ", now it has " + std::to_string(dataset.source.file->tokens()) +
            " and " + dataset.fingerprint);
  }
  if (saved.first_token != dataset.source.first_token ||
      saved.last_token != dataset.source.last_token) {
    differs("tokens " + std::to_string(saved.first_token) + " to " +
            std::to_string(saved.last_token) + " of it were trained on, now it is " +
            std::to_string(dataset.source.first_token) + " to " +
            std::to_string(dataset.source.last_token));
  }
}

}  // namespace

DataStart go_on_with_data(const checkpoints::RunState& saved,
                          const std::vector<OpenDataset>& datasets, std::int64_t sequence_length) {
  const Matching matching(saved.datasets, datasets);
  DataStart go_on;
  std::int64_t next_stream = 0;
  for (const DatasetState& one : saved.datasets) {
    next_stream = std::max(next_stream, one.stream + 1);
  }
  bool changed = saved.sequence_length != sequence_length;
  std::vector<data::Position> starts, nows;
  for (std::size_t i = 0; i < datasets.size(); ++i) {
    const std::string& path = datasets[i].entry.path;
    if (matching[i] < 0) {
      go_on.notes.push_back(path + " is new: its samples start at the first");
      go_on.streams.push_back(next_stream++);
      starts.emplace_back();
      nows.emplace_back();
      changed = true;
      continue;
    }
    const DatasetState& one = saved.datasets[static_cast<std::size_t>(matching[i])];
    check_content(one, datasets[i]);
    if (one.path != path) go_on.notes.push_back(path + " is what was " + one.path);
    changed |= matching[i] != static_cast<int>(i) || one.weight != datasets[i].entry.weight;
    go_on.streams.push_back(one.stream);
    starts.push_back(position_of(one.start));
    nows.push_back(position_of(one.now));
  }
  for (const DatasetState* one : matching.gone()) {
    go_on.notes.push_back(one->path + " is no longer sampled, after " +
                          std::to_string(one->now.samples) + " samples");
    changed = true;
  }
  go_on.start =
      changed ? data::Sampling::Start{.samples = saved.progress.samples, .positions = nows}
              : data::Sampling::Start{.samples = saved.blend_start_samples, .positions = starts};
  return go_on;
}

void describe_data(checkpoints::RunState& state, const std::vector<OpenDataset>& datasets,
                   const data::Sampler& sampler) {
  const data::Sampling& choices = sampler.choices();
  const std::vector<data::Position> now = sampler.positions(state.progress.samples);
  state.blend_start_samples = choices.start.samples;
  state.sequence_length = choices.sequence_length;
  state.seed = static_cast<std::int64_t>(choices.seed);
  state.shuffle = choices.shuffle;
  state.datasets.clear();
  for (std::size_t i = 0; i < datasets.size(); ++i) {
    const data::Source& source = choices.sources[i];
    state.datasets.push_back({.path = datasets[i].entry.path,
                              .weight = source.weight,
                              .tokens = source.file->tokens(),
                              .fingerprint = datasets[i].fingerprint,
                              .first_token = source.first_token,
                              .last_token = source.last_token,
                              .stream = source.stream.value_or(static_cast<std::int64_t>(i)),
                              .start = saved_of(choices.start.positions[i]),
                              .now = saved_of(now[i])});
  }
}

}  // namespace trireme::launch
