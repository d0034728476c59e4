#include "launch/run_keys.h"

#include <toml++/toml.h>

#include <array>
#include <charconv>
#include <string_view>

#include "launch/key_kinds.h"
#include "schedules/catalog.h"

namespace trireme::launch {
namespace {

std::vector<std::string> schedule_kinds() {
  std::vector<std::string> names;
  for (const auto& kind : schedules::kinds()) {
    if (!kind.two_copies) names.push_back(kind.name);
  }
  names.push_back("file");
  return names;
}

Key split() {
  return {"schedule.split",
          "list of integers or \"auto\"",
          "layers",
          "\"auto\", or [2, 3, 3, 2]: how many layers each stage has",
          "layers of each stage; auto: balanced by cost, counting embedding and head",
          [](Config& config, const toml::node& node) {
            config.schedule.split.clear();
            if (node.value<std::string>() == "auto") return;
            if (!node.is_array() || node.as_array()->empty()) throw RuleBroken();
            for (const auto& entry : *node.as_array()) {
              const auto count = value_of<std::int64_t>(entry);
              if (count < 0 || count > kMostRanks) throw RuleBroken();
              config.schedule.split.push_back(static_cast<int>(count));
            }
          },
          [](const Config& config) {
            if (config.schedule.split.empty()) return std::string("\"auto\"");
            std::string list;
            for (const int count : config.schedule.split) {
              list += (list.empty() ? "[" : ", ") + std::to_string(count);
            }
            return list + "]";
          }};
}

// Spans are kept in memory until the last of these steps is over.
constexpr std::int64_t kMostTracedSteps = 100;

// "12" or "10-12".
runtime::StepRange step_range(std::string_view text) {
  std::array<std::int64_t, 2> ends{};
  const std::size_t dash = text.find('-');
  const std::array parts{text.substr(0, dash),
                         dash == std::string_view::npos ? text : text.substr(dash + 1)};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const char* end = parts[i].data() + parts[i].size();
    const auto [rest, error] = std::from_chars(parts[i].data(), end, ends[i]);
    if (error != std::errc() || rest != end) throw RuleBroken();
  }
  const auto [first, last] = ends;
  if (first < 1 || last < first || last - first >= kMostTracedSteps) throw RuleBroken();
  return {.first = first, .last = last};
}

Key traced_steps() {
  return {"trace.steps",
          "text or integer",
          "steps",
          "\"\", 12 or \"10-12\", at most " + std::to_string(kMostTracedSteps) + " steps",
          "whose passes, messages and collectives go into the folder trace of the run, for "
          "ui.perfetto.dev",
          [](Config& config, const toml::node& node) {
            const auto text = node.is_integer() ? std::to_string(value_of<std::int64_t>(node))
                                                : value_of<std::string>(node);
            config.trace.steps = text.empty() ? runtime::StepRange() : step_range(text);
          },
          [](const Config& config) {
            const auto [first, last] = config.trace.steps;
            if (config.trace.steps == runtime::StepRange()) return quoted("");
            const std::string from = std::to_string(first);
            return quoted(first == last ? from : from + "-" + std::to_string(last));
          }};
}

}  // namespace

std::vector<Key> run_keys() {
  constexpr auto checkpoint = &Config::checkpoint;
  constexpr auto schedule = &Config::schedule;
  constexpr auto recompute = &Config::recompute;
  constexpr Choices<ScheduleCosts, 2> costs{
      {{"flops", ScheduleCosts::flops}, {"measured", ScheduleCosts::measured}}};
  constexpr Choices<runtime::Recompute, 3> modes{{{"none", runtime::Recompute::none},
                                                  {"selective", runtime::Recompute::selective},
                                                  {"full", runtime::Recompute::full}}};
  return {
      word({"schedule.kind", "", "pipeline schedule; without a pipeline there is nothing to order"},
           at(schedule, &ScheduleSection::kind), schedule_kinds()),
      text({"schedule.file", "", "a schedule of your own, for kind = \"file\""},
           "text or JSON as trireme schedule writes it", at(schedule, &ScheduleSection::file)),
      integer_or_auto(
          {"schedule.virtual_stages", "stages",
           "stages per pipeline rank; auto: what the kind takes, or 2 if there are layers enough"},
          at(schedule, &ScheduleSection::virtual_stages), 1, kLargest),
      split(),
      choice({"schedule.costs", "",
              "what auto kinds and splits go by: FLOPs, or a few micro-batches timed at start-up"},
             at(schedule, &ScheduleSection::costs), costs),
      number({"schedule.memory_limit", "micro-batches",
              "activations a rank may hold, for zb-auto, zb-v-auto and auto; 0: no limit"},
             at(schedule, &ScheduleSection::memory_limit), kNotNegative),
      choice({"recompute.mode", "",
              "what a layer computes again: nothing; norms, activation function and attention; or "
              "all"},
             at(recompute, &RecomputeSection::mode), modes),
      integer_or_auto(
          {"recompute.layers", "layers", "of each stage that do so, the first ones; auto: all"},
          at(recompute, &RecomputeSection::layers), 0, kLargest),
      text({"checkpoint.dir", "", "in it is the folder checkpoints; default: the run folder"},
           "a folder", at(checkpoint, &CheckpointSection::dir)),
      integer({"checkpoint.interval", "steps", "between checkpoints; 0: none are written"},
              at(checkpoint, &CheckpointSection::interval), 0),
      integer({"checkpoint.keep", "checkpoints", "newest ones that are kept"},
              at(checkpoint, &CheckpointSection::keep), 1),
      integer({"checkpoint.keep_every", "steps",
               "checkpoints of steps that this divides are kept for ever; 0: none"},
              at(checkpoint, &CheckpointSection::keep_every), 0),
      boolean({"checkpoint.async", "", "write them while training goes on"},
              at(checkpoint, &CheckpointSection::async)),
      text({"checkpoint.resume", "",
            "what to go on from; auto: the newest good checkpoint of this run, if there is one"},
           "\"auto\", \"never\", or a checkpoint or the folder of some",
           at(checkpoint, &CheckpointSection::resume)),
      number({"checkpoint.timeout_seconds", "seconds",
              "longest wait for another rank to write its part before the run fails"},
             at(checkpoint, &CheckpointSection::timeout_seconds), kSeconds),
      traced_steps(),
      number_or_auto({"watchdog.timeout_seconds", "seconds",
                      "longest wait for another rank before the run fails; auto: 600"},
                     at(&Config::watchdog, &WatchdogSection::timeout_seconds), kSeconds),
      text({"run.dir", "", "folder for logs and metrics; made if it does not exist"},
           "a folder that can be written", at(&Config::run, &RunSection::dir)),
  };
}

}  // namespace trireme::launch
