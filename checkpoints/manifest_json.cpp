// The text of a manifest, there and back.
#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <set>

#include "checkpoints/error.h"
#include "checkpoints/json.h"
#include "checkpoints/manifest.h"

namespace trireme::checkpoints {
namespace {

using kernels::Dtype;
using nlohmann::json;

constexpr const char* kFormat = "trireme checkpoint";
constexpr std::int64_t kVersion = 1;
constexpr const char* kDigestKey = "\"manifest_xxh3_128\"";
constexpr std::int64_t kMostElements = std::int64_t{1} << 48;

std::optional<Dtype> dtype_of(const std::string& name) {
  for (const Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::bf16, Dtype::f16, Dtype::i32}) {
    if (name == kernels::name_of(dtype)) return dtype;
  }
  return std::nullopt;
}

// Of a vector, the columns alone.
json shown(const TensorInfo& tensor, std::int64_t rows, std::int64_t columns) {
  return tensor.dimensions == 1 ? json{columns} : json{rows, columns};
}

std::array<std::int64_t, 2> read_pair(const JsonObject& object, const char* key, int dimensions) {
  const json& list = object.list(key);
  if (list.size() != static_cast<std::size_t>(dimensions)) {
    object.fail(std::string("\"") + key + "\" does not have the dimensions of the tensor");
  }
  std::array<std::int64_t, 2> pair = {dimensions == 1 && std::string_view(key) == "shape" ? 1 : 0,
                                      0};
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::int64_t value = count_of(list[i], object.where() + ": \"" + key + "\"");
    if (value > kMostElements) object.fail(std::string("\"") + key + "\" is beyond all memory");
    pair[i + 2 - list.size()] = value;
  }
  return pair;
}

Digest read_digest(const JsonObject& object, const char* key) {
  const auto digest = Digest::from_hex(object.text(key));
  if (!digest) object.fail(std::string("\"") + key + "\" is not 32 digits of a digest");
  return *digest;
}

json to_json(const StoredFile& file) {
  return {{"name", file.name}, {"bytes", file.bytes}, {"rest_xxh3_128", file.rest.hex()}};
}

StoredFile read_file_entry(const json& value, const std::string& where) {
  const JsonObject object(value, where + ": a file");
  return {.name = object.text("name"),
          .bytes = static_cast<std::uint64_t>(object.count("bytes")),
          .rest = read_digest(object, "rest_xxh3_128")};
}

json to_json(const StoredTensor& tensor) {
  json slices = json::array();
  for (const StoredSlice& slice : tensor.slices) {
    const Region& region = slice.region;
    slices.push_back({{"offset", shown(tensor.info, region.first_row, region.first_column)},
                      {"shape", shown(tensor.info, region.rows, region.columns)},
                      {"file", slice.file},
                      {"byte", slice.offset},
                      {"xxh3_128", slice.digest.hex()}});
  }
  return {{"name", tensor.info.name},
          {"dtype", kernels::name_of(tensor.info.dtype)},
          {"shape", shown(tensor.info, tensor.info.rows, tensor.info.columns)},
          {"slices", std::move(slices)}};
}

StoredTensor read_tensor(const json& value, const std::string& where) {
  const JsonObject object(value, where + ": a tensor");
  StoredTensor tensor;
  tensor.info.name = object.text("name");
  const JsonObject named(value, where + ": " + tensor.info.name);
  const auto dtype = dtype_of(named.text("dtype"));
  if (!dtype) named.fail("\"dtype\" is none of fp32, fp64, bf16, fp16, int32");
  tensor.info.dtype = *dtype;
  tensor.info.dimensions = static_cast<int>(std::min<std::size_t>(3, named.list("shape").size()));
  if (tensor.info.dimensions < 1 || tensor.info.dimensions > 2) {
    named.fail("\"shape\" has neither one nor two dimensions");
  }
  const auto [rows, columns] = read_pair(named, "shape", tensor.info.dimensions);
  if (rows > 0 && columns > kMostElements / rows) named.fail("\"shape\" is beyond all memory");
  tensor.info.rows = rows;
  tensor.info.columns = columns;
  for (const json& entry : named.list("slices")) {
    const JsonObject slice(entry, named.where() + ": a slice");
    const auto first = read_pair(slice, "offset", tensor.info.dimensions);
    const auto shape = read_pair(slice, "shape", tensor.info.dimensions);
    if (shape[0] > 0 && shape[1] > kMostElements / shape[0])
      slice.fail("\"shape\" is beyond all memory");
    tensor.slices.push_back({.region = {.first_row = first[0],
                                        .rows = shape[0],
                                        .first_column = first[1],
                                        .columns = shape[1]},
                             .file = static_cast<int>(std::min<std::int64_t>(
                                 slice.count("file"), std::int64_t{1} << 30)),
                             .offset = static_cast<std::uint64_t>(slice.count("byte")),
                             .digest = read_digest(slice, "xxh3_128")});
  }
  return tensor;
}

json to_json(const DataPosition& position) {
  return {{"samples", position.samples},
          {"epoch", position.epoch},
          {"chunk_tokens", position.chunk_tokens},
          {"epoch_tokens", position.epoch_tokens}};
}

DataPosition read_position(const json& value, const std::string& where) {
  const JsonObject object(value, where);
  return {.samples = object.count("samples"),
          .epoch = object.count("epoch"),
          .chunk_tokens = object.count("chunk_tokens"),
          .epoch_tokens = object.count("epoch_tokens")};
}

json to_json(const RunState& state) {
  json datasets = json::array();
  for (const DatasetState& dataset : state.datasets) {
    datasets.push_back({{"path", dataset.path},
                        {"weight", dataset.weight},
                        {"tokens", dataset.tokens},
                        {"fingerprint", dataset.fingerprint},
                        {"first_token", dataset.first_token},
                        {"last_token", dataset.last_token},
                        {"stream", dataset.stream},
                        {"blend_start", to_json(dataset.start)},
                        {"position", to_json(dataset.now)}});
  }
  return {
      {"step", state.progress.step},
      {"optimizer_updates", state.progress.updates},
      {"skipped_steps", state.progress.skipped_steps},
      {"skipped_in_a_row", state.progress.skipped_in_a_row},
      {"samples", state.progress.samples},
      {"tokens", state.progress.tokens},
      {"blend_start_samples", state.blend_start_samples},
      {"sequence_length", state.sequence_length},
      {"loss_scale", state.progress.loss_scale},
      {"loss_scale_good_steps", state.progress.loss_scale_good_steps},
      {"random_numbers", {{"algorithm", "philox4x32-10"}, {"seed", std::to_string(state.seed)}}},
      {"shuffle", state.shuffle},
      {"datasets", std::move(datasets)}};
}

// A text, because JSON readers keep whole numbers to 2^53 only.
std::int64_t read_seed(const JsonObject& random) {
  const std::string digits = random.text("seed");
  std::int64_t seed = -1;
  const char* last = digits.data() + digits.size();
  const auto [end, error] = std::from_chars(digits.data(), last, seed);
  if (error != std::errc() || end != last || seed < 0)
    random.fail("\"seed\" is not a whole number");
  return seed;
}

RunState read_state(const json& value, const std::string& where) {
  const JsonObject object(value, where + ": \"state\"");
  const JsonObject random(object.member("random_numbers"), where + ": \"random_numbers\"");
  RunState state{.progress = {.step = object.count("step"),
                              .samples = object.count("samples"),
                              .tokens = object.count("tokens"),
                              .updates = object.count("optimizer_updates"),
                              .skipped_steps = object.count("skipped_steps"),
                              .skipped_in_a_row = object.count("skipped_in_a_row"),
                              .loss_scale = object.number("loss_scale"),
                              .loss_scale_good_steps = object.count("loss_scale_good_steps")},
                 .blend_start_samples = object.count("blend_start_samples"),
                 .sequence_length = object.count("sequence_length"),
                 .seed = read_seed(random),
                 .shuffle = object.boolean("shuffle"),
                 .datasets = {}};
  for (const json& entry : object.list("datasets")) {
    const JsonObject dataset(entry, where + ": a dataset");
    state.datasets.push_back(
        {.path = dataset.text("path"),
         .weight = dataset.number("weight"),
         .tokens = dataset.count("tokens"),
         .fingerprint = dataset.text("fingerprint"),
         .first_token = dataset.count("first_token"),
         .last_token = dataset.count("last_token"),
         .stream = dataset.count("stream"),
         .start = read_position(dataset.member("blend_start"), dataset.where()),
         .now = read_position(dataset.member("position"), dataset.where())});
  }
  return state;
}

std::string digest_line(std::string_view before) {
  return std::string(kDigestKey) + ": \"" + digest_of(before).hex() + "\"\n}\n";
}

// The part of the text that its last line vouches for.
void check_digest(std::string_view text, const std::string& where) {
  const auto at = text.rfind(kDigestKey);
  if (at == std::string_view::npos || text.substr(at) != digest_line(text.substr(0, at))) {
    throw CheckpointError(
        Fault::corrupt, where + ": its digest of itself does not match: it was changed or cut off");
  }
}

bool is_plain_name(const std::string& name) {
  return !name.empty() && name.size() < 256 && name.front() != '.' &&
         std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
         });
}

void check_files(const Manifest& manifest, const std::string& where) {
  const auto fail = [&](const std::string& what) {
    throw CheckpointError(Fault::corrupt, where + ": " + what);
  };
  std::set<std::string> names;
  for (const StoredFile& file : manifest.files) {
    if (!is_plain_name(file.name) || !names.insert(file.name).second) {
      fail("\"" + file.name + "\" is no file name, or is there twice");
    }
  }
  std::set<std::string> tensors;
  for (const StoredTensor& tensor : manifest.tensors) {
    if (!tensors.insert(tensor.info.name).second) fail(tensor.info.name + " is there twice");
    for (const StoredSlice& slice : tensor.slices) {
      const auto bytes =
          static_cast<std::uint64_t>(slice.region.size()) * kernels::size_of(tensor.info.dtype);
      if (std::cmp_greater_equal(slice.file, manifest.files.size()) ||
          slice.offset + bytes > manifest.files[static_cast<std::size_t>(slice.file)].bytes) {
        fail(tensor.info.name + ": a slice is not inside any file");
      }
    }
  }
}

}  // namespace

std::string manifest_text(const Manifest& manifest) {
  std::string text = "{\n";
  const auto add = [&](const char* key, const json& value) {
    text += json(key).dump() + ": " + value.dump() + ",\n";
  };
  // One file, one tensor a line.
  const auto add_list = [&](const char* key, const auto& entries) {
    text += json(key).dump() + ": [";
    const char* before = "\n ";
    for (const auto& entry : entries) {
      text += before + to_json(entry).dump();
      before = ",\n ";
    }
    text += "\n],\n";
  };
  add("format", kFormat);
  add("version", kVersion);
  add("program", manifest.program);
  add("written", manifest.written);
  add("state", to_json(manifest.state));
  add("config", manifest.config);
  add_list("files", manifest.files);
  add_list("tensors", manifest.tensors);
  return text + digest_line(text);
}

Manifest parse_manifest(std::string_view text, const std::string& where) {
  check_digest(text, where);
  const json parsed = parse_json(text, where);
  const JsonObject object(parsed, where);
  if (object.text("format") != kFormat) object.fail("is no manifest of a trireme checkpoint");
  if (object.count("version") != kVersion) {
    object.fail("has version " + std::to_string(object.count("version")) +
                "; this program reads version " + std::to_string(kVersion));
  }
  Manifest manifest{.program = object.text("program"),
                    .written = object.text("written"),
                    .config = object.text("config"),
                    .state = read_state(object.member("state"), where),
                    .files = {},
                    .tensors = {}};
  for (const json& file : object.list("files")) {
    manifest.files.push_back(read_file_entry(file, where));
  }
  for (const json& tensor : object.list("tensors")) {
    manifest.tensors.push_back(read_tensor(tensor, where));
  }
  check_files(manifest, where);
  check_coverage(manifest, where);
  return manifest;
}

std::string report_text(const ShardReport& report) {
  json tensors = json::array();
  for (const StoredTensor& tensor : report.tensors) tensors.push_back(to_json(tensor));
  return json{{"file", to_json(report.file)}, {"tensors", std::move(tensors)}}.dump();
}

ShardReport parse_report(std::string_view text) {
  const std::string where = "the report of a rank";
  const json parsed = parse_json(text, where);
  const JsonObject object(parsed, where);
  ShardReport report{.file = read_file_entry(object.member("file"), where), .tensors = {}};
  for (const json& tensor : object.list("tensors")) {
    report.tensors.push_back(read_tensor(tensor, where));
  }
  return report;
}

}  // namespace trireme::checkpoints
