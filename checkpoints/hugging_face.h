#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "checkpoints/checkpoint.h"
#include "checkpoints/disk.h"
#include "models/shape.h"

namespace trireme::checkpoints {

// One of our parameters in a tensor of Hugging Face's.
struct ForeignPart {
  std::string parameter;
  std::int64_t first_column = 0;  // of the foreign tensor, for one that holds several of ours
};

// A tensor as transformers names and shapes it.
struct ForeignTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  bool transposed = false;  // GPT-2 keeps matrices as (inputs, outputs)
  std::vector<ForeignPart> parts;
};

// Every tensor of a model in the order of its parameters: Llama, Mistral, Qwen2, Qwen3 by their own
// names, which are ours; GPT-2's as it was published.
std::vector<ForeignTensor> foreign_tensors(const models::Shape& shape);

// config.json of such a model. Throws ModelError if transformers has none like it.
std::string foreign_config(const models::Shape& shape, kernels::Dtype dtype);

// Throws CheckpointError{missing} if there is no folder of a model at this path.
void require_hugging_face_folder(const std::filesystem::path& folder);

// Reads config.json and the safetensors files of a folder, single or sharded, and writes them as a
// checkpoint of step 0 into `store`, a tensor at a time. `config` is kept in its manifest. Weights
// keep their precision. Returns the checkpoint's folder. Throws CheckpointError and ModelError.
std::filesystem::path import_hugging_face(const std::filesystem::path& from, const Disk& disk,
                                          const std::filesystem::path& checkpoint_folder,
                                          const std::string& program, const std::string& config);

struct ExportOptions {
  kernels::Dtype dtype = kernels::Dtype::f32;
  std::uint64_t shard_bytes = std::uint64_t{5} << 30;  // a file is closed before it is larger
};

// Writes the weights of a checkpoint of a model of `shape` into a folder, which must not exist, a
// tensor at a time: config.json, and model.safetensors or its shards and their index. Throws
// CheckpointError, and ModelError if transformers has no such model.
void export_hugging_face(Checkpoint& from, const models::Shape& shape, const Disk& disk,
                         const std::filesystem::path& output, const ExportOptions& options);

}  // namespace trireme::checkpoints
