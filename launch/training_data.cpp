#include "launch/training_data.h"

#include <functional>

#include "data/error.h"
#include "data/token_file.h"
#include "data/tokenizer.h"

namespace trireme::launch {
namespace {

// Every failure of several attempts; the first one says what kind the whole is.
class Failures {
 public:
  explicit Failures(const LoadedConfig& loaded) : loaded_(loaded) {}

  // `key` is what asks for it.
  void attempt(const std::string& key, const std::function<void()>& work) {
    try {
      work();
    } catch (const data::DataError& error) {
      if (problems_.empty()) fault_ = error.fault;
      problems_.push_back({loaded_.place_of(key), key, "", error.what()});
    }
  }

  const std::vector<Problem>& problems() const { return problems_; }

  void rethrow() const {
    if (problems_.empty()) return;
    std::string text;
    for (const Problem& problem : problems_)
      text += (text.empty() ? "" : "\n  ") + to_text(problem);
    throw data::DataError(fault_, text);
  }

 private:
  const LoadedConfig& loaded_;
  data::Fault fault_ = data::Fault::missing;
  std::vector<Problem> problems_;
};

void check_tokenizer(const Config& config) {
  if (config.data.tokenizer == "bytes") return;
  const auto tokenizer = data::make_tokenizer(config.data.tokenizer);
  if (config.model.vocab_size && tokenizer->vocab_size() > *config.model.vocab_size) {
    throw data::DataError(data::Fault::corrupt, config.data.tokenizer + ": has " +
                                                    std::to_string(tokenizer->vocab_size()) +
                                                    " tokens, but model.vocab_size is " +
                                                    std::to_string(*config.model.vocab_size));
  }
}

// The files of a run, opened.
struct Sources {
  std::vector<data::Source> train, validation;
  std::vector<OpenDataset> datasets;  // of train
};

Sources open_sources(const DataSection& section, Failures& failures) {
  Sources opened;
  for (const DatasetEntry& entry : section.train) {
    failures.attempt("data.train", [&] {
      const auto file = data::open_token_file(entry.path);
      const auto [kept, held_out] = data::split(*file, section.validation_fraction);
      opened.train.push_back({file, entry.weight, kept.first, kept.last});
      opened.datasets.push_back({entry, file->fingerprint(), opened.train.back()});
      if (section.validation_fraction > 0) {
        opened.validation.push_back({file, entry.weight, held_out.first, held_out.last});
      }
    });
  }
  for (const DatasetEntry& entry : section.validation) {
    failures.attempt("data.validation", [&] {
      const auto file = data::open_token_file(entry.path);
      opened.validation.push_back({file, entry.weight, 0, file->tokens()});
    });
  }
  return opened;
}

}  // namespace

std::vector<std::string> TrainingData::go_on(const checkpoints::RunState& saved) {
  data::Sampling choices = train->choices();
  DataStart go_on = go_on_with_data(saved, datasets, choices.sequence_length);
  choices.start = std::move(go_on.start);
  for (std::size_t i = 0; i < choices.sources.size(); ++i) {
    choices.sources[i].stream = go_on.streams[i];
  }
  train.emplace(std::move(choices));
  return go_on.notes;
}

TrainingData open_training_data(const LoadedConfig& loaded) {
  const Config& config = loaded.config;
  Failures failures(loaded);
  failures.attempt("data.tokenizer", [&] { check_tokenizer(config); });
  Sources sources = open_sources(config.data, failures);
  failures.rethrow();
  const auto sampler = [&](std::vector<data::Source> of, bool shuffle) {
    return data::Sampler({.sources = std::move(of),
                          .sequence_length = config.train.seq_length,
                          .seed = static_cast<std::uint64_t>(config.train.seed),
                          .shuffle = shuffle,
                          .vocab_size = *config.model.vocab_size});
  };
  TrainingData opened{.train = {}, .validation = {}, .datasets = std::move(sources.datasets)};
  const bool validates = !sources.validation.empty();
  failures.attempt("data.train", [&] {
    opened.train.emplace(sampler(std::move(sources.train), config.data.shuffle));
  });
  if (validates) {
    const bool split_off = config.data.validation_fraction > 0;
    failures.attempt(split_off ? "data.validation_fraction" : "data.validation", [&] {
      opened.validation.emplace(sampler(std::move(sources.validation), true));
    });
  }
  failures.rethrow();
  return opened;
}

void add_file_problems(LoadedConfig& loaded) {
  Failures failures(loaded);
  if (!loaded.rejected("data.tokenizer")) {
    failures.attempt("data.tokenizer", [&] { check_tokenizer(loaded.config); });
  }
  open_sources(loaded.config.data, failures);
  const auto& found = failures.problems();
  loaded.problems.insert(loaded.problems.end(), found.begin(), found.end());
}

}  // namespace trireme::launch
