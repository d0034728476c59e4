#include "data/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "data/error.h"
#include "data/token_file_writer.h"
#include "tests/data/scratch_folder.h"

namespace trireme::data {
namespace {

class SamplerTest : public ScratchFolder {
 protected:
  // A file of the tokens first, first + 1, ..., in documents of the given lengths.
  std::shared_ptr<const TokenFile> stream(const std::string& name, std::int32_t first,
                                          const std::vector<int>& documents) const {
    TokenFileWriter writer(in_folder(name), 1 << 20);
    for (const int length : documents) {
      std::vector<std::int32_t> tokens(static_cast<std::size_t>(length));
      std::iota(tokens.begin(), tokens.end(), first);
      first += length;
      writer.add_document(tokens);
    }
    writer.finish();
    return open_token_file(in_folder(name));
  }

  Source whole(const std::shared_ptr<const TokenFile>& file, double weight) const {
    return {.file = file, .weight = weight, .first_token = 0, .last_token = file->tokens()};
  }

  static std::vector<std::int32_t> sample(const Sampler& sampler, std::int64_t index) {
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(sampler.sequence_length() + 1));
    sampler.sample(index, tokens);
    return tokens;
  }
};

TEST_F(SamplerTest, CutsTheStreamIntoChunksThatShareOneToken) {
  const auto file = stream("a", 100, {10, 1, 12});
  const Sampler sampler({.sources = {{.file = file, .first_token = 2, .last_token = 22}},
                         .sequence_length = 5,
                         .shuffle = false});
  EXPECT_EQ(sampler.samples_per_epoch(0), 3);
  EXPECT_EQ(sample(sampler, 0), (std::vector<std::int32_t>{102, 103, 104, 105, 106, 107}));
  EXPECT_EQ(sample(sampler, 1), (std::vector<std::int32_t>{107, 108, 109, 110, 111, 112}));
  EXPECT_EQ(sample(sampler, 2), (std::vector<std::int32_t>{112, 113, 114, 115, 116, 117}));
  EXPECT_EQ(sample(sampler, 3), sample(sampler, 0));
}

TEST_F(SamplerTest, GivesEveryChunkOnceInEveryEpochInANewOrder) {
  const auto file = stream("a", 0, {701});
  const Sampler sampler({.sources = {whole(file, 1)}, .sequence_length = 7, .seed = 3});
  ASSERT_EQ(sampler.samples_per_epoch(0), 100);
  std::vector<std::vector<std::int32_t>> orders;
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<std::int32_t> starts;
    for (std::int64_t i = 0; i < 100; ++i) {
      const auto tokens = sample(sampler, 100 * epoch + i);
      starts.push_back(tokens.front());
      for (std::size_t j = 0; j < tokens.size(); ++j) {
        ASSERT_EQ(tokens[j], starts.back() + static_cast<std::int32_t>(j));
      }
    }
    orders.push_back(starts);
    std::ranges::sort(starts);
    for (std::size_t i = 0; i < 100; ++i) EXPECT_EQ(starts[i], static_cast<std::int32_t>(7 * i));
  }
  EXPECT_NE(orders[0], orders[1]);
  EXPECT_NE(orders[1], orders[2]);
  EXPECT_FALSE(std::ranges::is_sorted(orders[0]));
}

TEST_F(SamplerTest, ShufflesSourcesDifferently) {
  const auto file = stream("a", 0, {1001});
  const Sampler sampler({.sources = {whole(file, 1), whole(file, 1)}, .sequence_length = 1});
  std::vector<std::vector<std::int32_t>> orders(2);
  for (std::int64_t i = 0; i < 2000; ++i) {
    orders[sampler.place(i).source].push_back(sample(sampler, i).front());
  }
  EXPECT_NE(orders[0], orders[1]);
  EXPECT_TRUE(std::ranges::is_permutation(orders[0], orders[1]));
}

TEST_F(SamplerTest, DependsOnSeedAndNumberOnly) {
  const auto file = stream("a", 0, {5000});
  const Sampling choices{.sources = {whole(file, 1)}, .sequence_length = 4, .seed = 9};
  const Sampler one(choices);
  const Sampler other(choices);
  for (std::int64_t i = 999; i >= 0; --i) sample(one, i);
  Sampling reseeded = choices;
  reseeded.seed = 10;
  int same = 0;
  for (std::int64_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(sample(one, i), sample(other, i));
    same += sample(one, i) == sample(Sampler(reseeded), i) ? 1 : 0;
  }
  EXPECT_LT(same, 10);
}

TEST_F(SamplerTest, CountsWhatEverySourceGave) {
  const auto a = stream("a", 0, {50});
  const auto b = stream("b", 1000, {90});
  const Sampler sampler({.sources = {whole(a, 1), whole(b, 2.5)}, .sequence_length = 3});
  std::vector<std::int64_t> counts(2);
  for (std::int64_t i = 0; i < 500; ++i) {
    const auto positions = sampler.positions(i);
    for (std::size_t s = 0; s < counts.size(); ++s) ASSERT_EQ(positions[s].samples, counts[s]);
    ++counts[sample(sampler, i).front() < 1000 ? 0 : 1];
  }
}

TEST_F(SamplerTest, ChangesWeightsAndAddsSourcesWithoutRepeatingOrSkipping) {
  const auto a = stream("a", 0, {2001});
  const auto b = stream("b", 10000, {2001});
  const auto c = stream("c", 20000, {2001});
  Sampling choices{.sources = {whole(a, 1), whole(b, 3)}, .sequence_length = 2, .seed = 5};
  std::vector<std::vector<std::int64_t>> locals(3);
  std::multiset<std::int32_t> given;
  const auto run = [&](std::int64_t first, std::int64_t last) {
    const Sampler sampler(choices);
    for (std::int64_t i = first; i < last; ++i) {
      const Place place = sampler.place(i);
      locals[place.source].push_back(place.local);
      given.insert(sample(sampler, i).front());
    }
    choices.start = {.samples = last, .positions = sampler.positions(last)};
  };
  run(0, 333);
  choices.sources[0].weight = 10;
  run(333, 500);
  choices.sources.push_back(whole(c, 4));
  run(500, 1000);
  for (const auto& source : locals) {
    ASSERT_FALSE(source.empty());
    for (std::size_t i = 0; i < source.size(); ++i) {
      ASSERT_EQ(source[i], static_cast<std::int64_t>(i));
    }
  }
  // Every source is still in its first epoch, so no chunk may have come twice.
  for (const std::int32_t start : given) ASSERT_EQ(given.count(start), 1);
  EXPECT_EQ(choices.start.positions[0].samples + choices.start.positions[1].samples +
                choices.start.positions[2].samples,
            1000);
}

TEST_F(SamplerTest, ResumesWhereItStoppedWhenNothingChanges) {
  const auto file = stream("a", 0, {3000});
  Sampling choices{.sources = {whole(file, 1)}, .sequence_length = 4};
  const Sampler before(choices);
  choices.start = {.samples = 700, .positions = before.positions(700)};
  const Sampler after(choices);
  for (std::int64_t i = 700; i < 1600; ++i) ASSERT_EQ(sample(before, i), sample(after, i));
  EXPECT_EQ(before.positions(1600), after.positions(1600));
  EXPECT_THROW(sample(after, 699), std::invalid_argument);
  EXPECT_THROW(after.positions(699), std::invalid_argument);
}

// Longer, shorter, back again, over several epochs: in each of them every token of every chunk
// comes once, but for the tail that is too short for a sample.
TEST_F(SamplerTest, ChangesTheLengthOfASampleWithoutRepeatingOrSkipping) {
  const auto file = stream("a", 0, {2401});
  Sampling choices{.sources = {whole(file, 1)}, .sequence_length = 8, .seed = 5};
  std::vector<std::int32_t> epoch;
  const auto run = [&](std::int64_t length, std::int64_t count) {
    choices.sequence_length = length;
    const Sampler sampler(choices);
    const std::int64_t first = choices.start.samples;
    for (std::int64_t i = first; i < first + count; ++i) {
      const auto tokens = sample(sampler, i);
      // Inside a chunk, tokens follow each other.
      for (std::size_t t = 1; t < tokens.size(); ++t) {
        if (t % 4 == 0) continue;
        ASSERT_EQ(tokens[t], tokens[t - 1] + 1);
      }
      epoch.insert(epoch.end(), tokens.begin(), tokens.end() - 1);
    }
    choices.start = {.samples = first + count, .positions = sampler.positions(first + count)};
  };
  const auto expect_whole_epoch = [&] {
    std::ranges::sort(epoch);
    ASSERT_EQ(epoch.size(), 2400u);
    for (std::size_t i = 0; i < epoch.size(); ++i) ASSERT_EQ(epoch[i], static_cast<int>(i));
    epoch.clear();
  };
  run(8, 100);
  run(4, 100);  // cut
  run(40, 10);  // joined
  run(8, 100);
  expect_whole_epoch();
  run(16, 150);  // cut anew
  expect_whole_epoch();
  run(16, 3);
  EXPECT_EQ(choices.start.positions[0].chunk_tokens, 16);
}

TEST_F(SamplerTest, KeepsTheOrderOfAStreamWhenOthersComeBeforeIt) {
  const auto a = stream("a", 0, {401});
  const auto b = stream("b", 1000, {401});
  Source moved = whole(a, 1);
  moved.stream = 0;
  Source added = whole(b, 1);
  added.stream = 7;
  const Sampler alone({.sources = {whole(a, 1)}, .sequence_length = 4, .seed = 5});
  const Sampler both({.sources = {added, moved}, .sequence_length = 4, .seed = 5});
  std::int64_t next = 0;
  for (std::int64_t i = 0; i < 100; ++i) {
    if (both.place(i).source != 1) continue;
    ASSERT_EQ(sample(both, i), sample(alone, next++));
  }
  EXPECT_EQ(next, 50);
}

TEST_F(SamplerTest, RefusesASourceTooShortForOneSample) {
  const auto file = stream("short", 0, {8});
  EXPECT_EQ(Sampler({.sources = {whole(file, 1)}, .sequence_length = 7}).samples_per_epoch(0), 1);
  try {
    const Sampler sampler({.sources = {whole(file, 1)}, .sequence_length = 8});
    ADD_FAILURE() << "nothing was thrown";
  } catch (const DataError& error) {
    EXPECT_EQ(error.fault, Fault::corrupt);
    EXPECT_EQ(error.what(), file->path() + ": has 8 tokens here, one sample needs 9");
  }
  const Source empty{.file = file, .first_token = 4, .last_token = 4};
  EXPECT_THROW(Sampler({.sources = {empty}, .sequence_length = 1}), DataError);
}

TEST_F(SamplerTest, RefusesChoicesThatMakeNoSense) {
  const auto file = stream("a", 0, {100});
  const auto refuses = [](const Sampling& choices) {
    EXPECT_THROW(Sampler{choices}, std::invalid_argument);
  };
  refuses({.sources = {}, .sequence_length = 4});
  refuses({.sources = {whole(file, 0)}, .sequence_length = 4});
  refuses({.sources = {whole(file, 1)}, .sequence_length = 0});
  refuses({.sources = {{.file = file, .first_token = 0, .last_token = 101}}, .sequence_length = 4});
  refuses({.sources = {{.file = file, .first_token = 9, .last_token = 3}}, .sequence_length = 4});
  refuses({.sources = {{.file = nullptr, .last_token = 3}}, .sequence_length = 4});
  refuses({.sources = {whole(file, 1)}, .sequence_length = 4, .start = {.positions = {{}, {}}}});
  const Sampler sampler({.sources = {whole(file, 1)}, .sequence_length = 4});
  std::vector<std::int32_t> wrong(4);
  EXPECT_THROW(sampler.sample(0, wrong), std::invalid_argument);
}

TEST_F(SamplerTest, RefusesTokensOutsideTheVocabularyWhenAsked) {
  const auto file = stream("a", 0, {100});
  Sampling choices{.sources = {whole(file, 1)}, .sequence_length = 99, .vocab_size = 100};
  EXPECT_NO_THROW(sample(Sampler(choices), 0));
  choices.vocab_size = 99;
  EXPECT_THROW(sample(Sampler(choices), 0), DataError);
}

using Split = SamplerTest;

TEST_F(Split, CutsAtTheStartOfADocument) {
  const auto file = stream("a", 0, {30, 30, 30, 10});
  EXPECT_EQ(split(*file, 0.1), (std::pair<Range, Range>{{0, 90}, {90, 100}}));
  EXPECT_EQ(split(*file, 0.2), (std::pair<Range, Range>{{0, 90}, {90, 100}}));
  EXPECT_EQ(split(*file, 0.05), (std::pair<Range, Range>{{0, 95}, {95, 100}}))
      << "the next start is too far";
  EXPECT_EQ(split(*file, 0.45), (std::pair<Range, Range>{{0, 60}, {60, 100}}));
  EXPECT_EQ(split(*file, 0), (std::pair<Range, Range>{{0, 100}, {100, 100}}));
}

TEST_F(Split, CutsInsideTheOnlyDocument) {
  const auto file = stream("a", 0, {100});
  EXPECT_EQ(split(*file, 0.25), (std::pair<Range, Range>{{0, 75}, {75, 100}}));
}

TEST_F(Split, RefusesFractionsThatMakeNoSense) {
  const auto file = stream("a", 0, {100});
  for (const double fraction : {-0.1, 1.0, std::nan("")}) {
    EXPECT_THROW(split(*file, fraction), std::invalid_argument);
  }
}

}  // namespace
}  // namespace trireme::data
