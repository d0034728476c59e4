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
  void attempt(const std::function<void()>& work) {
    try {
      work();
    } catch (const data::DataError& error) {
      if (!message_.empty())
        message_ += "\n  ";
      else
        fault_ = error.fault;
      message_ += error.what();
    }
  }

  void rethrow() const {
    if (!message_.empty()) throw data::DataError(fault_, message_);
  }

 private:
  data::Fault fault_ = data::Fault::missing;
  std::string message_;
};

void check_tokenizer(const Config& config) {
  if (config.data.tokenizer == "bytes") return;
  const auto tokenizer = data::make_tokenizer(config.data.tokenizer);
  if (tokenizer->vocab_size() > *config.model.vocab_size) {
    throw data::DataError(data::Fault::corrupt, config.data.tokenizer + ": has " +
                                                    std::to_string(tokenizer->vocab_size()) +
                                                    " tokens, but model.vocab_size is " +
                                                    std::to_string(*config.model.vocab_size));
  }
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

TrainingData open_training_data(const Config& config) {
  Failures failures;
  failures.attempt([&] { check_tokenizer(config); });
  TrainingData opened;
  std::vector<data::Source> train, validation;
  for (const DatasetEntry& entry : config.data.train) {
    failures.attempt([&] {
      const auto file = data::open_token_file(entry.path);
      const auto [kept, held_out] = data::split(*file, config.data.validation_fraction);
      train.push_back({file, entry.weight, kept.first, kept.last});
      opened.datasets.push_back({entry, file->fingerprint(), train.back()});
      if (config.data.validation_fraction > 0) {
        validation.push_back({file, entry.weight, held_out.first, held_out.last});
      }
    });
  }
  for (const DatasetEntry& entry : config.data.validation) {
    failures.attempt([&] {
      const auto file = data::open_token_file(entry.path);
      validation.push_back({file, entry.weight, 0, file->tokens()});
    });
  }
  const auto sampler = [&](std::vector<data::Source> sources, bool shuffle) {
    return data::Sampler({.sources = std::move(sources),
                          .sequence_length = config.train.seq_length,
                          .seed = static_cast<std::uint64_t>(config.train.seed),
                          .shuffle = shuffle,
                          .vocab_size = *config.model.vocab_size});
  };
  failures.rethrow();
  failures.attempt([&] { opened.train.emplace(sampler(std::move(train), config.data.shuffle)); });
  if (!validation.empty()) {
    failures.attempt([&] { opened.validation.emplace(sampler(std::move(validation), true)); });
  }
  failures.rethrow();
  return opened;
}

}  // namespace trireme::launch
