#include "launch/checkpoint_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "launch/console.h"

namespace trireme::launch {
namespace {

using checkpoints::StoredTensor;
using checkpoints::TensorDifference;
using Json = nlohmann::ordered_json;

std::string size_text(std::uint64_t bytes) { return bytes_text(static_cast<double>(bytes)); }

Json shape_of(const checkpoints::TensorInfo& tensor) {
  return tensor.dimensions == 1 ? Json{tensor.columns} : Json{tensor.rows, tensor.columns};
}

const TensorDifference* worst_of(const std::vector<TensorDifference>& all) {
  const auto found = std::ranges::max_element(all, {}, &TensorDifference::relative_error);
  return found == all.end() || found->different == 0 ? nullptr : &*found;
}

const TensorDifference* first_of(const std::vector<TensorDifference>& all) {
  const auto found = std::ranges::find_if(all, &TensorDifference::differs);
  return found == all.end() ? nullptr : &*found;
}

std::string in_words(const TensorDifference& one) {
  if (!one.problem.empty()) return one.name + " " + one.problem;
  return fmt::format(
      "{}: {} of {} elements differ, the first at [{}, {}]; largest difference {:.3g}, relative "
      "error {:.3g}",
      one.name, one.different, one.elements, one.row, one.column, one.largest, one.relative_error);
}

Json to_json(const TensorDifference& one) {
  if (!one.problem.empty()) return {{"name", one.name}, {"problem", one.problem}};
  return {{"name", one.name},
          {"elements", one.elements},
          {"different", one.different},
          {"first", {one.row, one.column}},
          {"largest_difference", one.largest},
          {"relative_error", one.relative_error}};
}

}  // namespace

Json to_json(const std::vector<ListedCheckpoint>& list) {
  Json all = Json::array();
  for (const ListedCheckpoint& one : list) {
    Json entry{{"path", one.path.string()}, {"good", one.problem.empty()}, {"latest", one.latest}};
    if (one.problem.empty()) {
      entry["step"] = one.manifest.state.progress.step;
      entry["samples"] = one.manifest.state.progress.samples;
      entry["written"] = one.manifest.written;
      entry["bytes"] = one.manifest.bytes();
      entry["files"] = one.manifest.files.size();
    } else {
      entry["problem"] = one.problem;
    }
    all.push_back(std::move(entry));
  }
  return {{"checkpoints", std::move(all)}};
}

std::string to_text(const std::vector<ListedCheckpoint>& list) {
  std::string text = fmt::format("{:<16}{:>12}{:>14}{:>8}  {}\n", "checkpoint", "samples", "size",
                                 "files", "written");
  for (const ListedCheckpoint& one : list) {
    const std::string name = one.path.filename().string();
    if (!one.problem.empty()) {
      text += fmt::format("{:<16}not good: {}\n", name, one.problem);
      continue;
    }
    text +=
        fmt::format("{:<16}{:>12}{:>14}{:>8}  {}{}\n", name, one.manifest.state.progress.samples,
                    size_text(one.manifest.bytes()), one.manifest.files.size(),
                    one.manifest.written, one.latest ? "  latest" : "");
  }
  return text;
}

Json to_json(const checkpoints::Checkpoint& checkpoint) {
  const checkpoints::Manifest& manifest = checkpoint.manifest();
  Json datasets = Json::array(), tensors = Json::array(), files = Json::array();
  for (const auto& dataset : manifest.state.datasets) {
    datasets.push_back({{"path", dataset.path},
                        {"weight", dataset.weight},
                        {"samples", dataset.now.samples},
                        {"epoch", dataset.now.epoch}});
  }
  for (const auto& file : manifest.files) {
    files.push_back({{"name", file.name}, {"bytes", file.bytes}});
  }
  for (const StoredTensor& tensor : manifest.tensors) {
    tensors.push_back({{"name", tensor.info.name},
                       {"dtype", kernels::name_of(tensor.info.dtype)},
                       {"shape", shape_of(tensor.info)},
                       {"slices", tensor.slices.size()}});
  }
  return {{"path", checkpoint.folder().string()},
          {"program", manifest.program},
          {"written", manifest.written},
          {"step", manifest.state.progress.step},
          {"optimizer_updates", manifest.state.progress.updates},
          {"samples", manifest.state.progress.samples},
          {"tokens", manifest.state.progress.tokens},
          {"loss_scale", manifest.state.progress.loss_scale},
          {"bytes", manifest.bytes()},
          {"datasets", std::move(datasets)},
          {"files", std::move(files)},
          {"tensors", std::move(tensors)},
          {"config", manifest.config}};
}

std::string to_text(const checkpoints::Checkpoint& checkpoint) {
  const checkpoints::Manifest& manifest = checkpoint.manifest();
  const checkpoints::RunState& state = manifest.state;
  std::string text = fmt::format(
      "{}\n{} | written {} | {} in {} files\nafter step {}, {} optimizer updates, {} samples, {} "
      "tokens | loss scale {:g} | seed {}\n",
      checkpoint.folder().string(), manifest.program, manifest.written, size_text(manifest.bytes()),
      manifest.files.size(), state.progress.step, state.progress.updates, state.progress.samples,
      state.progress.tokens, state.progress.loss_scale, state.seed);
  for (const auto& dataset : state.datasets) {
    text += fmt::format("data {} | weight {:g} | {} samples, in epoch {}\n", dataset.path,
                        dataset.weight, dataset.now.samples, dataset.now.epoch + 1);
  }
  std::size_t width = 0;
  std::int64_t parameters = 0;
  bool has_optimizer = false;
  for (const StoredTensor& tensor : manifest.tensors) {
    width = std::max(width, tensor.info.name.size());
    const bool is_parameter = checkpoints::is_parameter(tensor.info.name);
    if (is_parameter) parameters += tensor.info.size();
    has_optimizer |= !is_parameter;
  }
  text += fmt::format("{} parameters in {} tensors, {}\n",
                      short_count(static_cast<double>(parameters)), manifest.tensors.size(),
                      has_optimizer ? "optimizer state among them" : "no optimizer state");
  for (const StoredTensor& tensor : manifest.tensors) {
    text += fmt::format("  {:<{}}  {:<5} {:<16} {} slice{}\n", tensor.info.name, width,
                        kernels::name_of(tensor.info.dtype), shape_of(tensor.info).dump(),
                        tensor.slices.size(), tensor.slices.size() == 1 ? "" : "s");
  }
  return text;
}

Json to_json(const std::vector<VerifiedCheckpoint>& verified) {
  Json all = Json::array();
  for (const VerifiedCheckpoint& one : verified) {
    all.push_back({{"path", one.path.string()},
                   {"good", one.problems.empty()},
                   {"problems", one.problems},
                   {"bytes", one.bytes},
                   {"seconds", one.seconds}});
  }
  return {{"checkpoints", std::move(all)}};
}

std::string to_text(const std::vector<VerifiedCheckpoint>& verified) {
  std::string text;
  for (const VerifiedCheckpoint& one : verified) {
    if (one.problems.empty()) {
      text += fmt::format("{}: good, {} in {:.2f} s\n", one.path.string(), size_text(one.bytes),
                          one.seconds);
    }
    for (const std::string& problem : one.problems) text += "not good: " + problem + "\n";
  }
  return text;
}

Json to_json(const std::vector<TensorDifference>& differences) {
  Json different = Json::array();
  for (const TensorDifference& one : differences) {
    if (one.differs()) different.push_back(to_json(one));
  }
  const TensorDifference* first = first_of(differences);
  const TensorDifference* worst = worst_of(differences);
  return {{"equal", first == nullptr},
          {"tensors", differences.size()},
          {"first", first ? Json(first->name) : Json()},
          {"worst", worst ? Json(worst->name) : Json()},
          {"different", std::move(different)}};
}

std::string to_text(const std::vector<TensorDifference>& differences) {
  const auto different = std::ranges::count_if(differences, &TensorDifference::differs);
  if (different == 0) {
    return fmt::format("equal: all {} tensors, bit for bit\n", differences.size());
  }
  std::string text = fmt::format("{} of {} tensors differ\nfirst  {}\n", different,
                                 differences.size(), in_words(*first_of(differences)));
  if (const TensorDifference* worst = worst_of(differences)) {
    text += "worst  " + in_words(*worst) + "\n";
  }
  return text;
}

}  // namespace trireme::launch
