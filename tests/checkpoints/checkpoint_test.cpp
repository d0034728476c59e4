// What is written is what is read, and what was damaged is found and named.
#include <gtest/gtest.h>

#include <random>

#include "checkpoints/difference.h"
#include "tests/checkpoints/small_checkpoint.h"

namespace trireme::checkpoints {
namespace {

using CheckpointFile = SmallCheckpoint;

TEST_F(CheckpointFile, GivesAnyBlockOfATensor) {
  Checkpoint checkpoint(save(3));
  ASSERT_EQ(checkpoint.manifest().tensors.size(), 4u);
  std::mt19937 random(7);
  const auto between = [&](std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random);
  };
  for (int i = 0; i < 300; ++i) {
    const auto t = static_cast<std::size_t>(between(0, 3));
    const StoredTensor* stored = checkpoint.manifest().find(tensors[t].name);
    ASSERT_NE(stored, nullptr);
    EXPECT_EQ(stored->info, tensors[t]);
    Region region;
    region.first_row = between(0, tensors[t].rows - 1);
    region.rows = between(1, tensors[t].rows - region.first_row);
    region.first_column = between(0, tensors[t].columns - 1);
    region.columns = between(1, tensors[t].columns - region.first_column);
    std::vector<float> values(static_cast<std::size_t>(region.size()), -1);
    checkpoint.read(*stored, region, values);
    for (std::int64_t r = 0; r < region.rows; ++r) {
      for (std::int64_t c = 0; c < region.columns; ++c) {
        ASSERT_EQ(values[static_cast<std::size_t>(r * region.columns + c)],
                  stored_value(3, t, region.first_row + r, region.first_column + c))
            << tensors[t].name;
      }
    }
  }
}

TEST_F(CheckpointFile, KeepsTheStateOfARun) {
  const Checkpoint checkpoint(save(12));
  const Manifest& manifest = checkpoint.manifest();
  EXPECT_EQ(manifest.state.progress.step, 12);
  EXPECT_EQ(manifest.state.progress.samples, 48);
  EXPECT_EQ(manifest.state.datasets.at(0).path, "a \"corpus\"");
  EXPECT_EQ(manifest.state.datasets.at(0).weight, 0.1);
  EXPECT_EQ(manifest.config, "[model]\nhidden_size = 8\n");
}

TEST_F(CheckpointFile, IsListedNewestFirstAndPruned) {
  for (const std::int64_t step : {2, 10, 4, 100000000, 8}) save(step);
  fs::create_directories(store.folder() / "step-0000001x");
  fs::create_directories(store.folder() / "step-00000006.tmp-write");
  const auto steps = [&] {
    std::vector<std::int64_t> all;
    for (const auto& entry : store.list()) all.push_back(entry.step);
    return all;
  };
  EXPECT_EQ(steps(), (std::vector<std::int64_t>{100000000, 10, 8, 4, 2}));
  EXPECT_EQ(store.latest(), "step-00000008");
  EXPECT_EQ(store.prunable(2, 4), (std::vector<std::int64_t>{2}));
  EXPECT_EQ(store.prune(1, 0), (std::vector<std::int64_t>{10, 8, 4, 2}));
  EXPECT_EQ(steps(), (std::vector<std::int64_t>{100000000}));
  store.remove_leftovers();
  EXPECT_FALSE(fs::exists(store.folder() / "step-00000006.tmp-write"));
  EXPECT_TRUE(fs::exists(store.folder() / "step-0000001x"));
}

TEST_F(CheckpointFile, TakesThePlaceOfOneOfTheSameStep) {
  save(5);
  const std::string before = read(store.path_of(5) / kManifest);
  tensors[0].name = "model.renamed.weight";
  save(5);
  EXPECT_NE(read(store.path_of(5) / kManifest), before);
  check(store.path_of(5));
  EXPECT_EQ(store.list().size(), 1u);
}

// A thousand random single bits over all files: every one is found, and the file is named.
TEST_F(CheckpointFile, FindsEveryFlippedBit) {
  const fs::path path = save(1);
  std::vector<fs::path> files;
  std::vector<std::uintmax_t> ends;
  for (const auto& entry : fs::directory_iterator(path)) {
    files.push_back(entry.path());
    ends.push_back((ends.empty() ? 0 : ends.back()) + fs::file_size(entry.path()));
  }
  ASSERT_EQ(files.size(), 4u);
  std::mt19937_64 random(11);
  std::map<std::string, int> found;
  for (int i = 0; i < 1000; ++i) {
    // Every other one in any byte of all files, the others in each file alike.
    std::uintmax_t at = random() % ends.back();
    std::size_t f = 0;
    while (at >= ends[f]) ++f;
    if (i % 2 == 1) f = static_cast<std::size_t>(i / 2) % files.size();
    const std::string good = read(files[f]);
    std::string bad = good;
    const auto byte = static_cast<std::size_t>(random() % bad.size());
    bad[byte] = static_cast<char>(bad[byte] ^ (1 << (random() % 8)));
    write(files[f], bad);
    const std::string error = error_of([&] { check(path); });
    ASSERT_NE(error.find(files[f].filename().string()), std::string::npos)
        << "byte " << byte << " of " << files[f] << ": " << error;
    ++found[files[f].filename().string()];
    write(files[f], good);
  }
  EXPECT_EQ(found.size(), 4u);
  check(path);
}

TEST_F(CheckpointFile, FindsWhatIsMissingCutOffSwappedOrAppended) {
  const fs::path path = save(1);
  const auto names = {"shard-00000-of-00002.h5", "shard-00001-of-00002.h5", kIndex, kManifest};
  for (const std::string name : names) {
    const fs::path file = path / name;
    const std::string good = read(file);
    const auto expect_named = [&](const std::string& what) {
      const std::string error = error_of([&] { check(path); });
      EXPECT_NE(error.find(name), std::string::npos) << what << " " << name << ": " << error;
    };
    fs::remove(file);
    expect_named("missing");
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{1}, good.size() / 2, good.size() - 1}) {
      write(file, good.substr(0, size));
      expect_named("cut off");
    }
    write(file, good + "x");
    expect_named("appended");
    write(file, std::string(good.size(), '\0'));
    expect_named("zeroed");
    fs::remove(file);
    fs::create_directory(file);
    expect_named("a folder");
    fs::remove(file);
    write(file, good);
  }
  const fs::path other = save(2);
  fs::copy_file(other / "shard-00000-of-00002.h5", path / "shard-00000-of-00002.h5",
                fs::copy_options::overwrite_existing);
  EXPECT_NE(error_of([&] { check(path); }), "") << "a shard of another step";
}

TEST_F(CheckpointFile, ComparesWithAnother) {
  Checkpoint first(save(1)), same(save(2));
  auto found = differences(first, first);
  ASSERT_EQ(found.size(), 4u);
  for (const TensorDifference& each : found) EXPECT_FALSE(each.differs()) << each.name;
  found = differences(first, same);
  for (const TensorDifference& each : found) {
    EXPECT_EQ(each.different, each.elements) << each.name;
    EXPECT_FLOAT_EQ(static_cast<float>(each.largest), 1.0f) << each.name;
  }
  tensors[1].name = "model.other.weight";
  Checkpoint third(save(3));
  found = differences(first, third);
  ASSERT_EQ(found.size(), 5u);
  int alone = 0;
  for (const TensorDifference& each : found) alone += !each.problem.empty();
  EXPECT_EQ(alone, 2);
}

// Slices are cut so that no part of a tensor is expensive to check, and values come back.
TEST_F(CheckpointFile, CutsLargeTensors) {
  const TensorInfo large{
      .name = "large", .dimensions = 2, .rows = 5, .columns = kSliceBytes / 4 / 2};
  std::vector<float> values(static_cast<std::size_t>(large.size()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 1013);
  const HostSlice slice{.tensor = &large,
                        .region = {.rows = large.rows, .columns = large.columns},
                        .values = std::as_bytes(std::span(values)).data()};
  const ShardReport report = write_shard(disk, folder / "shard.h5", {&slice, 1});
  ASSERT_EQ(report.tensors.at(0).slices.size(), 3u);
  for (const StoredSlice& stored : report.tensors[0].slices) {
    EXPECT_LE(stored.region.size() * 4, kSliceBytes);
    const std::string bytes = read(folder / "shard.h5").substr(stored.offset, 4096);
    EXPECT_EQ(
        bytes.compare(0, 4096,
                      std::string(reinterpret_cast<const char*>(
                                      values.data() + stored.region.first_row * large.columns),
                                  4096)),
        0);
  }
}

}  // namespace
}  // namespace trireme::checkpoints
