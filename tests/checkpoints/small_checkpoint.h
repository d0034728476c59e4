#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "checkpoints/checkpoint.h"
#include "checkpoints/error.h"
#include "checkpoints/shard_file.h"
#include "checkpoints/store.h"

namespace trireme::checkpoints {

namespace fs = std::filesystem;

// A folder that goes away with the test.
class ScratchTest : public testing::Test {
 protected:
  ScratchTest() { fs::create_directories(folder); }
  ~ScratchTest() override { fs::remove_all(folder); }

  static std::string read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void write(const fs::path& path, const std::string& content) {
    std::ofstream(path, std::ios::binary) << content;
  }

  // What `work` complains about; empty if it does not.
  static std::string error_of(const std::function<void()>& work, Fault fault = Fault::corrupt) {
    try {
      work();
    } catch (const CheckpointError& error) {
      EXPECT_EQ(error.fault, fault) << error.what();
      return error.what();
    }
    return "";
  }

  fs::path folder =
      fs::temp_directory_path() / ("trireme-" + std::to_string(getpid()) + "-" +
                                   testing::UnitTest::GetInstance()->current_test_info()->name());
};

// Checkpoints of two ranks: a matrix cut by columns, one cut in the middle of a row, a vector, and
// a bf16 matrix.
class SmallCheckpoint : public ScratchTest {
 protected:
  static float value(std::int64_t step, std::size_t tensor, std::int64_t row, std::int64_t column) {
    return static_cast<float>(step) + static_cast<float>(tensor) * 0.5f +
           static_cast<float>(row * 16 + column) * 0.0078125f;
  }

  // As it comes back.
  static float stored_value(std::int64_t step, std::size_t tensor, std::int64_t row,
                            std::int64_t column) {
    const float exact = value(step, tensor, row, column);
    return tensor == 3 ? static_cast<float>(kernels::Bf16(exact)) : exact;
  }

  // Writes one and returns its folder.
  fs::path save(std::int64_t step) {
    std::vector<ShardReport> reports;
    const fs::path attempt = store.begin(step);
    const std::vector<std::vector<std::pair<std::size_t, Region>>> parts{
        {{0, {.first_row = 0, .rows = 6, .first_column = 0, .columns = 3}},
         {1, {.first_row = 0, .rows = 2, .first_column = 0, .columns = 5}},
         {1, {.first_row = 2, .rows = 1, .first_column = 0, .columns = 2}},
         {2, {.first_row = 0, .rows = 1, .first_column = 0, .columns = 7}}},
        {{0, {.first_row = 0, .rows = 6, .first_column = 3, .columns = 5}},
         {1, {.first_row = 2, .rows = 1, .first_column = 2, .columns = 3}},
         {1, {.first_row = 3, .rows = 1, .first_column = 0, .columns = 5}},
         {3, {.first_row = 0, .rows = 3, .first_column = 0, .columns = 4}}}};
    for (std::size_t rank = 0; rank < parts.size(); ++rank) {
      std::vector<std::vector<std::byte>> values;
      std::vector<HostSlice> slices;
      for (const auto& [tensor, region] : parts[rank]) {
        values.push_back(bytes_of(step, tensor, region));
        slices.push_back({.tensor = &tensors[tensor], .region = region, .values = nullptr});
      }
      for (std::size_t i = 0; i < slices.size(); ++i) slices[i].values = values[i].data();
      const std::string name = "shard-0000" + std::to_string(rank) + "-of-00002.h5";
      reports.push_back(write_shard(disk, attempt / name, slices));
    }
    Manifest manifest{.program = "a test",
                      .written = utc_now(),
                      .config = "[model]\nhidden_size = 8\n",
                      .state = {.progress = {.step = step, .samples = 4 * step, .updates = step}},
                      .files = {},
                      .tensors = {}};
    manifest.state.datasets.push_back({.path = "a \"corpus\"", .weight = 0.1, .fingerprint = "f"});
    merge_reports(manifest, reports);
    store.commit(attempt, manifest);
    return store.path_of(step);
  }

  static std::vector<std::byte> bytes_of(std::int64_t step, std::size_t tensor,
                                         const Region& region) {
    std::vector<std::byte> bytes;
    const auto append = [&](const auto& number) {
      const auto* first = reinterpret_cast<const std::byte*>(&number);
      bytes.insert(bytes.end(), first, first + sizeof number);
    };
    for (std::int64_t r = region.first_row; r < region.end_row(); ++r) {
      for (std::int64_t c = region.first_column; c < region.end_column(); ++c) {
        const float number = value(step, tensor, r, c);
        tensor == 3 ? append(kernels::Bf16(number)) : append(number);
      }
    }
    return bytes;
  }

  // Everything of a checkpoint, checked.
  static void check(const fs::path& path) {
    Checkpoint checkpoint(path);
    for (std::size_t f = 0; f < checkpoint.manifest().files.size(); ++f) {
      checkpoint.check_file(static_cast<int>(f));
    }
  }

  std::vector<TensorInfo> tensors{
      {.name = "model.a.weight", .dimensions = 2, .rows = 6, .columns = 8},
      {.name = "model.b.weight", .dimensions = 2, .rows = 4, .columns = 5},
      {.name = "optimizer/first_moment/model.c.bias", .dimensions = 1, .rows = 1, .columns = 7},
      {.name = "model.d.weight",
       .dimensions = 2,
       .rows = 3,
       .columns = 4,
       .dtype = kernels::Dtype::bf16}};
  Disk disk;
  Store store{folder / "checkpoints", disk};
};

}  // namespace trireme::checkpoints
