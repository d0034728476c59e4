#include "launch/data_position.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "data/error.h"
#include "data/token_file_writer.h"
#include "tests/data/scratch_folder.h"

namespace trireme::launch {
namespace {

class DataPositionTest : public data::ScratchFolder {
 protected:
  OpenDataset dataset(const std::string& name, std::int32_t first, double weight = 1) const {
    data::TokenFileWriter writer(in_folder(name), 1 << 20);
    std::vector<std::int32_t> tokens(401);
    std::iota(tokens.begin(), tokens.end(), first);
    writer.add_document(tokens);
    writer.finish();
    const auto file = data::open_token_file(in_folder(name));
    return {.entry = {.path = in_folder(name), .weight = weight},
            .fingerprint = file->fingerprint(),
            .source = {.file = file, .weight = weight, .first_token = 0, .last_token = 401}};
  }

  // Runs from `state` (nothing: the beginning) for `count` samples, and returns the state after.
  checkpoints::RunState run(const std::vector<OpenDataset>& datasets,
                            const checkpoints::RunState* state, std::int64_t count,
                            std::int64_t length = 4) {
    data::Sampling choices{.sources = {}, .sequence_length = length, .seed = 5};
    for (const OpenDataset& one : datasets) choices.sources.push_back(one.source);
    std::int64_t first = 0;
    if (state) {
      DataStart start = go_on_with_data(*state, datasets, length);
      choices.start = start.start;
      for (std::size_t i = 0; i < datasets.size(); ++i) {
        choices.sources[i].stream = start.streams[i];
      }
      notes = start.notes;
      first = state->progress.samples;
    }
    const data::Sampler sampler(choices);
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(length) + 1);
    for (std::int64_t i = first; i < first + count; ++i) {
      sampler.sample(i, tokens);
      given.insert(given.end(), tokens.begin(), tokens.end() - 1);
    }
    checkpoints::RunState after{.progress = {.samples = first + count}};
    describe_data(after, datasets, sampler);
    return after;
  }

  void expect_nothing_twice() {
    std::ranges::sort(given);
    EXPECT_TRUE(std::ranges::adjacent_find(given) == given.end());
  }

  std::vector<std::int32_t> given;
  std::vector<std::string> notes;
};

TEST_F(DataPositionTest, UnchangedIsTheSameStream) {
  const std::vector<OpenDataset> datasets{dataset("a", 0, 2), dataset("b", 1000, 1)};
  run(datasets, nullptr, 150);
  const auto whole = std::exchange(given, {});
  auto state = run(datasets, nullptr, 37);
  state = run(datasets, &state, 50);
  state = run(datasets, &state, 63);
  EXPECT_EQ(given, whole);
  EXPECT_TRUE(notes.empty());
  EXPECT_EQ(state.datasets[0].now.samples + state.datasets[1].now.samples, 150);
}

TEST_F(DataPositionTest, NothingComesTwiceWhateverChanges) {
  std::vector<OpenDataset> datasets{dataset("a", 0, 2), dataset("b", 1000, 1)};
  auto state = run(datasets, nullptr, 30);
  datasets[0].entry.weight = datasets[0].source.weight = 0.5;  // other weights
  state = run(datasets, &state, 30);
  EXPECT_TRUE(notes.empty());
  std::swap(datasets[0], datasets[1]);  // another order
  state = run(datasets, &state, 20);
  datasets.insert(datasets.begin(), dataset("c", 2000));  // one more
  state = run(datasets, &state, 30);
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_NE(notes[0].find("c is new"), std::string::npos);
  state = run(datasets, &state, 10, 12);  // longer samples
  state = run(datasets, &state, 20, 4);   // and shorter ones again
  datasets.erase(datasets.begin() + 1);   // one less
  state = run(datasets, &state, 10);
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_NE(notes[0].find("is no longer sampled"), std::string::npos);
  EXPECT_EQ(given.size(), static_cast<std::size_t>((30 + 30 + 20 + 30 + 30 + 20 + 10) * 4));
  expect_nothing_twice();
}

TEST_F(DataPositionTest, KnowsAFileByItsContent) {
  const std::vector<OpenDataset> before{dataset("a", 0), dataset("b", 1000)};
  auto state = run(before, nullptr, 40);
  const std::vector<OpenDataset> after{dataset("moved", 0), dataset("b", 1000)};
  run(after, &state, 40);
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_NE(notes[0].find("moved is what was"), std::string::npos);
  expect_nothing_twice();
}

TEST_F(DataPositionTest, RefusesAFileThatIsNotWhatItWas) {
  const auto state = run({dataset("a", 0)}, nullptr, 10);
  const auto expect_refused = [&](const OpenDataset& dataset, const std::string& why) {
    try {
      go_on_with_data(state, {dataset}, 4);
      ADD_FAILURE() << "nothing was thrown";
    } catch (const data::DataError& error) {
      EXPECT_EQ(error.fault, data::Fault::corrupt);
      EXPECT_NE(std::string(error.what()).find(why), std::string::npos) << error.what();
    }
  };
  expect_refused(dataset("a", 7), "fingerprint");
  OpenDataset shorter = dataset("a", 0);
  shorter.source.last_token = 300;
  expect_refused(shorter, "tokens 0 to 401 of it were trained on, now it is 0 to 300");
}

}  // namespace
}  // namespace trireme::launch
