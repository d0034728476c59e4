#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "checkpoints/error.h"
#include "checkpoints/float_conversion.h"
#include "checkpoints/hugging_face.h"
#include "checkpoints/json.h"
#include "checkpoints/removed_unless_moved.h"
#include "checkpoints/safetensors.h"
#include "checkpoints/shard_file.h"
#include "checkpoints/store.h"
#include "models/parameters.h"

namespace trireme::checkpoints {
namespace {

namespace fs = std::filesystem;

using kernels::Dtype;
using models::Parameter;
using models::Shape;

constexpr std::uint64_t kMostIndexBytes = std::uint64_t{1} << 28;

[[noreturn]] void fail(const std::string& what) { throw CheckpointError(Fault::corrupt, what); }

// Every tensor of a folder's safetensors files, by name.
class Source {
 public:
  explicit Source(const fs::path& folder) : folder_(folder) {
    const fs::path index = folder / "model.safetensors.index.json";
    if (fs::exists(index)) {
      open_shards(index);
    } else {
      open("model.safetensors");
      for (const auto& [name, tensor] : files_.begin()->second->header().tensors) {
        places_[name] = "model.safetensors";
      }
    }
  }

  const std::map<std::string, std::string>& places() const { return places_; }
  const SafeTensor& find(const std::string& name) const {
    return file(name).header().tensors.at(name);
  }
  std::vector<float> read(const std::string& name) const { return file(name).read(name); }
  const fs::path& folder() const { return folder_; }

 private:
  const SafetensorsFile& file(const std::string& tensor) const {
    return *files_.at(places_.at(tensor));
  }

  void open(const std::string& name) {
    if (files_.contains(name)) return;
    files_[name] = std::make_unique<SafetensorsFile>(folder_ / name);
  }

  void open_shards(const fs::path& path) {
    const auto parsed = parse_json(read_file(path, kMostIndexBytes), path.string());
    const JsonObject object(parsed, path.string());
    const auto& map = object.member("weight_map");
    if (!map.is_object()) object.fail("\"weight_map\" is not an object");
    for (const auto& [tensor, file] : map.items()) {
      const std::string name = file.is_string() ? file.get<std::string>() : "";
      if (name.empty() || fs::path(name).filename() != name || name.front() == '.') {
        object.fail("the file of " + tensor + " is no name of a file in this folder");
      }
      open(name);
      if (!files_[name]->header().tensors.contains(tensor)) {
        object.fail(tensor + " is not in " + name);
      }
      places_[tensor] = name;
    }
  }

  fs::path folder_;
  std::map<std::string, std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, std::string> places_;
};

// Buffers that some versions have saved beside the weights.
bool is_ignored(const std::string& name) {
  return name.ends_with(".rotary_emb.inv_freq") || name.ends_with(".attn.bias") ||
         name.ends_with(".attn.masked_bias");
}

// The tensor's name in this folder: a model without its head was saved without the prefix.
std::optional<std::string> name_in(const Source& source, const std::string& name) {
  if (source.places().contains(name)) return name;
  const auto dot = name.find('.');
  const std::string bare = name.substr(dot + 1);
  const bool prefixed = name.starts_with("model.") || name.starts_with("transformer.");
  if (prefixed && source.places().contains(bare)) return bare;
  return std::nullopt;
}

std::string sizes_text(const std::vector<std::int64_t>& sizes) {
  std::string text = "[";
  for (const auto size : sizes) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

Dtype stored_dtype(const std::string& dtype) {
  if (dtype == "BF16") return Dtype::bf16;
  if (dtype == "F16") return Dtype::f16;
  return Dtype::f32;
}

// Where a parameter is, and how to have its values.
struct Place {
  std::string tensor;  // as it is called in the folder
  bool transposed = false;
  std::int64_t first_column = 0, columns = 0;  // columns of the whole foreign tensor
};

// Matches what there is with what the model needs: everything wrong at once.
std::map<std::string, Place> find_all(const Source& source, const Shape& shape) {
  std::map<std::string, Place> places;
  std::set<std::string> used;
  std::string problems;
  for (const ForeignTensor& tensor : foreign_tensors(shape)) {
    const auto name = name_in(source, tensor.name);
    if (!name) {
      problems += "\n  " + tensor.name + " is missing";
      continue;
    }
    used.insert(*name);
    if (source.find(*name).shape != tensor.shape) {
      problems += "\n  " + *name + " has shape " + sizes_text(source.find(*name).shape) +
                  ", config.json makes it " + sizes_text(tensor.shape);
    }
    for (const ForeignPart& part : tensor.parts) {
      places[part.parameter] = {.tensor = *name,
                                .transposed = tensor.transposed,
                                .first_column = part.first_column,
                                .columns = tensor.shape.back()};
    }
  }
  for (const auto& [name, file] : source.places()) {
    const bool tied = shape.tie_word_embeddings && name == "lm_head.weight";
    if (used.contains(name) || tied || is_ignored(name)) continue;
    problems += "\n  " + name + " in " + file + " is no part of such a model";
  }
  if (!problems.empty())
    fail(source.folder().string() + ": is not what config.json says:" + problems);
  return places;
}

// Values of a parameter, taken out of the foreign tensor they are in.
std::vector<float> take(const Parameter& parameter, const Place& place,
                        const std::vector<float>& foreign) {
  if (place.columns == parameter.columns && !place.transposed) return foreign;
  std::vector<float> values(static_cast<std::size_t>(parameter.size()));
  for (std::int64_t r = 0; r < parameter.rows; ++r) {
    for (std::int64_t c = 0; c < parameter.columns; ++c) {
      const std::int64_t from = place.transposed ? c * place.columns + place.first_column + r
                                                 : r * place.columns + place.first_column + c;
      values[static_cast<std::size_t>(r * parameter.columns + c)] =
          foreign[static_cast<std::size_t>(from)];
    }
  }
  return values;
}

}  // namespace

void require_hugging_face_folder(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    throw CheckpointError(Fault::missing, folder.string() + ": there is no such folder");
  }
  if (!fs::exists(folder / "config.json", error)) {
    throw CheckpointError(Fault::missing, folder.string() +
                                              ": there is no config.json in it, so it is no folder "
                                              "of a Hugging Face model");
  }
}

fs::path import_hugging_face(const fs::path& from, const Disk& disk, const fs::path& folder,
                             const std::string& program, const std::string& config) {
  require_hugging_face_folder(from);
  const Shape shape = models::read_hugging_face(from.string());
  const Source source(from);
  const auto places = find_all(source, shape);
  const auto table = models::parameter_table(shape);
  std::vector<TensorInfo> tensors;
  for (const Parameter& parameter : table) {
    tensors.push_back({.name = parameter.name,
                       .dimensions = parameter.dimensions,
                       .rows = parameter.rows,
                       .columns = parameter.columns,
                       .dtype = stored_dtype(source.find(places.at(parameter.name).tensor).dtype)});
  }
  std::vector<HostSlice> slices;
  for (const TensorInfo& tensor : tensors) {
    slices.push_back(
        {.tensor = &tensor, .region = {.rows = tensor.rows, .columns = tensor.columns}});
  }
  std::string open;  // whose values `foreign` has: neighbors may be in one tensor
  std::vector<float> foreign;
  std::vector<std::byte> bytes;
  const auto read = [&](std::size_t slice) -> std::span<const std::byte> {
    const Place& place = places.at(table[slice].name);
    if (open != place.tensor) foreign = source.read(place.tensor);
    open = place.tensor;
    const std::vector<float> values = take(table[slice], place, foreign);
    bytes.resize(slices[slice].bytes());
    from_floats(tensors[slice].dtype, values, bytes.data());
    return bytes;
  };
  const Store store(folder, disk);
  const fs::path attempt = store.begin(0);
  const RemovedUnlessMoved leftovers(attempt);
  Manifest manifest{.program = program,
                    .written = utc_now(),
                    .config = config,
                    .state = {},
                    .files = {},
                    .tensors = {}};
  merge_reports(manifest, {write_shard(disk, attempt / "shard-00000-of-00001.h5", slices, read)});
  store.commit(attempt, manifest);
  return store.path_of(0);
}

}  // namespace trireme::checkpoints
