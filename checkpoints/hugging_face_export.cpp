#include <cstdio>
#include <nlohmann/json.hpp>
#include <system_error>

#include "checkpoints/error.h"
#include "checkpoints/hugging_face.h"
#include "checkpoints/removed_unless_moved.h"
#include "checkpoints/safetensors.h"

namespace trireme::checkpoints {
namespace {

namespace fs = std::filesystem;

std::uint64_t elements_of(const ForeignTensor& tensor) {
  std::uint64_t count = 1;
  for (const std::int64_t size : tensor.shape) count *= static_cast<std::uint64_t>(size);
  return count;
}

// Tensors of each file, in order.
std::vector<std::vector<ForeignTensor>> split(std::vector<ForeignTensor> tensors,
                                              const ExportOptions& options) {
  std::vector<std::vector<ForeignTensor>> files(1);
  std::uint64_t filled = 0;
  for (ForeignTensor& tensor : tensors) {
    const std::uint64_t bytes = elements_of(tensor) * kernels::size_of(options.dtype);
    if (filled > 0 && filled + bytes > options.shard_bytes) {
      files.emplace_back();
      filled = 0;
    }
    filled += bytes;
    files.back().push_back(std::move(tensor));
  }
  return files;
}

std::string file_name(std::size_t file, std::size_t files) {
  if (files == 1) return "model.safetensors";
  char name[64];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", file + 1, files);
  return name;
}

std::vector<float> values_of(Checkpoint& from, const ForeignTensor& foreign) {
  std::vector<float> all(elements_of(foreign));
  const std::int64_t columns = foreign.shape.back();
  for (const ForeignPart& part : foreign.parts) {
    const StoredTensor* tensor = from.manifest().find(part.parameter);
    if (!tensor) {
      throw CheckpointError(Fault::corrupt,
                            from.folder().string() + ": " + part.parameter + " is not in it");
    }
    const Region whole{.rows = tensor->info.rows, .columns = tensor->info.columns};
    if (foreign.parts.size() == 1 && !foreign.transposed) {
      from.read(*tensor, whole, all);
      continue;
    }
    std::vector<float> values(static_cast<std::size_t>(whole.size()));
    from.read(*tensor, whole, values);
    for (std::int64_t r = 0; r < whole.rows; ++r) {
      for (std::int64_t c = 0; c < whole.columns; ++c) {
        const std::int64_t to = foreign.transposed ? c * columns + part.first_column + r
                                                   : r * columns + part.first_column + c;
        all[static_cast<std::size_t>(to)] = values[static_cast<std::size_t>(r * whole.columns + c)];
      }
    }
  }
  return all;
}

}  // namespace

void export_hugging_face(Checkpoint& from, const models::Shape& shape, const Disk& disk,
                         const fs::path& output, const ExportOptions& options) {
  // "exported/" has no name: what is beside it would be inside.
  const fs::path folder = output.has_filename() ? output : output.parent_path();
  if (fs::exists(folder)) {
    throw CheckpointError(Fault::io, folder.string() + ": exists already; name another folder");
  }
  const std::string config = foreign_config(shape, options.dtype);
  // Whole or not there.
  const fs::path attempt = folder.string() + ".tmp-write";
  disk.remove_all(attempt);
  disk.make_folder(attempt);
  const RemovedUnlessMoved leftovers(attempt);
  const auto files = split(foreign_tensors(shape), options);
  nlohmann::ordered_json map = nlohmann::ordered_json::object();
  std::uint64_t total = 0;
  for (std::size_t file = 0; file < files.size(); ++file) {
    const std::string name = file_name(file, files.size());
    std::vector<SafeTensorPlan> plan;
    for (const ForeignTensor& tensor : files[file]) {
      plan.push_back({.name = tensor.name, .shape = tensor.shape});
      map[tensor.name] = name;
      total += elements_of(tensor) * kernels::size_of(options.dtype);
    }
    SafetensorsWriter writer(disk, attempt / name, plan, options.dtype);
    for (const ForeignTensor& tensor : files[file]) writer.add(values_of(from, tensor));
    writer.finish();
  }
  if (files.size() > 1) {
    const nlohmann::ordered_json index{{"metadata", {{"total_size", total}}}, {"weight_map", map}};
    disk.write_file(attempt / "model.safetensors.index.json", index.dump(2) + "\n");
  }
  disk.write_file(attempt / "config.json", config);
  disk.sync_folder(attempt);
  disk.rename(attempt, folder);
  disk.sync_folder(folder.has_parent_path() ? folder.parent_path() : fs::path("."));
}

}  // namespace trireme::checkpoints
