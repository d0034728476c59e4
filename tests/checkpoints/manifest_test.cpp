#include "checkpoints/manifest.h"

#include <gtest/gtest.h>

#include "checkpoints/error.h"

namespace trireme::checkpoints {
namespace {

// A matrix of 4 by 6 in three blocks.
Manifest manifest() {
  Manifest made{.program = "a test",
                .written = "2026-01-31T12:00:00Z",
                .config = "",
                .state = {.progress = {.step = 3}},
                .files = {{.name = "shard.h5", .bytes = 1000, .rest = {.high = 1, .low = 2}}},
                .tensors = {}};
  const auto slice = [](Region region, std::uint64_t offset) {
    return StoredSlice{.region = region, .file = 0, .offset = offset, .digest = {3, 4}};
  };
  StoredTensor tensor;
  tensor.info.name = "a";
  tensor.info.rows = 4;
  tensor.info.columns = 6;
  tensor.slices = {slice({0, 4, 0, 2}, 100), slice({0, 1, 2, 4}, 200), slice({1, 3, 2, 4}, 300)};
  made.tensors.push_back(std::move(tensor));
  return made;
}

std::string refusal(const std::string& text) {
  try {
    parse_manifest(text, "here");
  } catch (const CheckpointError& error) {
    EXPECT_EQ(error.fault, Fault::corrupt);
    return error.what();
  }
  return "";
}

// The text with one part replaced, and a digest that fits.
std::string edited(const Manifest& manifest, const std::string& from, const std::string& to) {
  std::string text = manifest_text(manifest);
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  text.replace(at, from.size(), to);
  text.resize(text.rfind("\"manifest_xxh3_128\""));
  return text + "\"manifest_xxh3_128\": \"" + digest_of(text).hex() + "\"\n}\n";
}

TEST(Manifest, IsReadAsItWasWritten) {
  const Manifest made = manifest();
  const Manifest found = parse_manifest(manifest_text(made), "here");
  EXPECT_EQ(manifest_text(found), manifest_text(made));
  EXPECT_EQ(found.tensors[0].slices[2].region, made.tensors[0].slices[2].region);
}

TEST(Manifest, KnowsWhenItWasChanged) {
  std::string text = manifest_text(manifest());
  for (std::size_t byte = 0; byte < text.size(); ++byte) {
    std::string changed = text;
    changed[byte] = static_cast<char>(changed[byte] ^ 1);
    ASSERT_NE(refusal(changed), "") << byte;
    ASSERT_NE(refusal(text.substr(0, byte)), "") << byte;
  }
}

TEST(Manifest, RefusesWhatCannotBe) {
  const auto expect_refused = [](const std::string& from, const std::string& to,
                                 const std::string& why) {
    const std::string said = refusal(edited(manifest(), from, to));
    EXPECT_NE(said.find(why), std::string::npos) << from << " -> " << to << ": " << said;
  };
  EXPECT_EQ(refusal(edited(manifest(), "a test", "another")), "");
  expect_refused("\"version\": 1", "\"version\": 2", "version 2");
  expect_refused("trireme checkpoint", "something else", "no manifest");
  expect_refused("\"shard.h5\"", "\"../shard.h5\"", "no file name");
  expect_refused("\"shard.h5\"", "\"/etc/passwd\"", "no file name");
  expect_refused("\"bytes\":1000", "\"bytes\":340", "not inside any file");
  expect_refused("\"bytes\":1000", "\"bytes\":-1", "whole number");
  expect_refused("\"bytes\":1000", "\"bytes\":1000,\"bytes\":1000", "appears twice");
  expect_refused("\"file\":0", "\"file\":7", "not inside any file");
  expect_refused("\"shape\":[4,6]", "\"shape\":[4,7]", "slices hold 24 of 28");
  expect_refused("\"shape\":[4,6]", "\"shape\":[3,6]", "beyond the tensor");
  expect_refused("\"shape\":[4,6]", "\"shape\":[9007199254740991,9007199254740991]", "beyond");
  expect_refused("\"offset\":[0,2]", "\"offset\":[1,2]", "overlap");
  expect_refused("\"offset\":[0,2]", "\"offset\":[0,1]", "overlap");
  expect_refused("\"fp32\"", "\"fp8\"", "dtype");
  expect_refused("\"step\":3", "\"step\":\"3\"", "whole number");
  expect_refused("\"tensors\"", "\"tensor\"", "tensors");
}

TEST(Manifest, FindsHolesAndOverlapsOfManySlices) {
  Manifest made = manifest();
  StoredTensor& tensor = made.tensors[0];
  tensor.info.rows = 64;
  tensor.info.columns = 48;
  made.files[0].bytes = 1 << 30;
  tensor.slices.clear();
  // Bricks: columns of 8, cut at other rows in each.
  for (std::int64_t column = 0; column < 48; column += 8) {
    std::int64_t row = 0;
    for (const std::int64_t rows : {column / 8 + 1, std::int64_t{30}, 33 - column / 8}) {
      tensor.slices.push_back({.region = {row, rows, column, 8}, .digest = {}});
      row += rows;
    }
  }
  EXPECT_NO_THROW(check_coverage(made, "here"));
  for (std::size_t i = 0; i < tensor.slices.size(); ++i) {
    for (const std::int64_t by : {-1, 1}) {
      const Region good = tensor.slices[i].region;
      Region& region = tensor.slices[i].region;
      region.first_row += by;
      EXPECT_THROW(check_coverage(made, "here"), CheckpointError) << i;
      region = good;
      region.first_column += by;
      EXPECT_THROW(check_coverage(made, "here"), CheckpointError) << i;
      region = good;
    }
  }
}

TEST(Manifest, SortsTensorsAsPeopleCount) {
  Manifest made;
  ShardReport report{.file = {.name = "shard.h5", .bytes = 0, .rest = {}}, .tensors = {}};
  for (const char* name : {"optimizer/first_moment/model.layers.2.a", "model.layers.10.a",
                           "model.layers.9.b", "model.layers.9.a", "lm_head.weight"}) {
    StoredTensor tensor;
    tensor.info.name = name;
    tensor.info.rows = tensor.info.columns = 1;
    report.tensors.push_back(std::move(tensor));
  }
  merge_reports(made, {report});
  std::vector<std::string> names;
  for (const auto& tensor : made.tensors) names.push_back(tensor.info.name);
  EXPECT_EQ(names, (std::vector<std::string>{"lm_head.weight", "model.layers.9.a",
                                             "model.layers.9.b", "model.layers.10.a",
                                             "optimizer/first_moment/model.layers.2.a"}));
}

TEST(Digest, IsWhatXxhsumPrints) {
  // printf abc | xxh128sum
  EXPECT_EQ(digest_of(std::string_view("abc")).hex(), "06b05ab6733a618578af5f94892f3950");
  const auto digest = digest_of(std::string_view("abc"));
  EXPECT_EQ(Digest::from_hex(digest.hex()), digest);
  for (const char* bad : {"", "06b0", "06B05AB6733A618578AF5F94892F3950",
                          "+6b05ab6733a618578af5f94892f3950", "06b05ab6733a618578af5f94892f395g"}) {
    EXPECT_EQ(Digest::from_hex(bad), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace trireme::checkpoints
