#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <memory>

#include "data/error.h"
#include "launch/commands/commands.h"
#include "launch/config_file.h"
#include "launch/schedule_file.h"
#include "launch/schedule_report.h"
#include "schedules/catalog.h"
#include "schedules/check.h"
#include "schedules/memory.h"
#include "schedules/passes.h"
#include "schedules/program.h"
#include "schedules/svg.h"
#include "schedules/text.h"
#include "schedules/trace.h"

namespace trireme::launch {
namespace {

using schedules::Objective;
using schedules::Schedule;

struct ScheduleArguments {
  std::string kind, file, cost = "1,1,1,0", stage_cost, memory_limit, objective = "makespan";
  std::string svg, trace;
  int ranks = 0, micro_batches = 0, virtual_stages = 0, group_size = 0, slots = 2;
  double weight_fraction = 1, effort = 1;
  std::uint64_t seed = 1;
  bool json = false, text = false, program = false, compare = false;
};

// Everything wrong with the line at once.
class Complaints {
 public:
  void add(const std::string& text) { all_ += (all_.empty() ? "" : "\n") + text; }
  void refuse() const {
    if (!all_.empty()) throw UsageError(all_);
  }
  // Runs `read`; its failure is one more complaint.
  template <typename Read>
  void attempt(const Read& read) {
    try {
      read();
    } catch (const schedules::ScheduleError& error) {
      add(error.what());
    }
  }

 private:
  std::string all_;
};

// "1,2,0.5" as numbers; nothing if one is not a finite number from 0.
std::vector<double> numbers_of(const std::string& text) {
  std::vector<double> numbers;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    double value = 0;
    const auto [rest, error] = std::from_chars(at, end, value);
    if (error != std::errc() || !std::isfinite(value) || value < 0) return {};
    numbers.push_back(value);
    if (rest == end) return numbers;
    if (*rest != ',') return {};
    at = rest + 1;
  }
  return {};
}

void read_costs(const ScheduleArguments& arguments, schedules::Request& request,
                Complaints& complaints) {
  const auto cost = numbers_of(arguments.cost);
  if (cost.size() != 3 && cost.size() != 4) {
    complaints.add("--cost " + arguments.cost +
                   ": give F,B,W or F,B,W,COMM, times from 0, such as 1,1.2,0.8,0.05");
  } else if (cost[0] + cost[1] + cost[2] <= 0) {
    complaints.add("--cost " + arguments.cost + ": at least one of F, B and W must be above 0");
  } else {
    request.cost = {cost[0], cost[1], cost[2], cost[0]};
    request.communication = cost.size() == 4 ? cost[3] : 0;
  }
  if (arguments.stage_cost.empty()) return;
  complaints.attempt([&] { request.stage_costs = read_stage_costs(arguments.stage_cost); });
}

void read_goal(const ScheduleArguments& arguments, schedules::SearchGoal& goal,
               Complaints& complaints) {
  if (arguments.objective != "makespan" && arguments.objective != "span") {
    complaints.add("--objective " + arguments.objective + ": it is makespan or span");
  }
  goal.objective = arguments.objective == "span" ? Objective::span : Objective::makespan;
  goal.memory_limit = numbers_of(arguments.memory_limit);
  if (!arguments.memory_limit.empty() && goal.memory_limit.empty()) {
    complaints.add("--memory-limit " + arguments.memory_limit +
                   ": give micro-batches of a rank's whole share, such as 4.5, or one value per "
                   "rank, separated by commas");
  }
  if (!(arguments.weight_fraction >= 0 && arguments.weight_fraction <= 1)) {
    complaints.add(
        fmt::format("--weight-fraction {}: it is a share from 0 to 1", arguments.weight_fraction));
  }
  if (!(arguments.effort > 0 && arguments.effort <= 1000)) {
    complaints.add(fmt::format("--effort {}: it is above 0 and at most 1000", arguments.effort));
  }
  goal.weight_fraction = arguments.weight_fraction;
  goal.seed = arguments.seed;
  goal.effort = arguments.effort;
}

void require_count(const char* option, int value, int least, Complaints& complaints) {
  if (value >= least) return;
  complaints.add(fmt::format("{} {}: it is a whole number from {}", option, value, least));
}

schedules::Request read_request(const ScheduleArguments& arguments) {
  schedules::Request request;
  Complaints complaints;
  const bool from_file = arguments.kind == "file";
  if (!from_file) {
    require_count("--stages", arguments.ranks, 1, complaints);
    require_count("--micro-batches", arguments.micro_batches, 1, complaints);
  }
  if (arguments.virtual_stages != 0) {
    require_count("--virtual-stages", arguments.virtual_stages, 1, complaints);
  }
  require_count("--group-size", arguments.group_size, 0, complaints);
  require_count("--slots", arguments.slots, 1, complaints);
  if (from_file && arguments.file.empty()) {
    complaints.add("the kind \"file\" needs --file PATH, a schedule as text or JSON");
  }
  if (!from_file && !arguments.file.empty()) {
    complaints.add("--file " + arguments.file + ": only the kind \"file\" reads one");
  }
  if (arguments.compare &&
      !(arguments.kind.empty() && arguments.svg.empty() && arguments.trace.empty())) {
    complaints.add(
        "--compare looks at all kinds and draws none: leave out KIND, --svg and --trace");
  } else if (arguments.kind.empty() && !arguments.compare) {
    complaints.add("name a kind of schedule, or give --compare for all of them");
  } else if (!arguments.kind.empty() && !from_file) {
    try {
      schedules::kind_named(arguments.kind);
    } catch (const schedules::ScheduleError& error) {
      complaints.add(std::string(error.what()) + ", and file");
    }
  }
  read_costs(arguments, request, complaints);
  read_goal(arguments, request.goal, complaints);
  complaints.refuse();
  request.kind = arguments.kind;
  request.shape = {arguments.ranks, arguments.micro_batches, arguments.virtual_stages,
                   arguments.group_size};
  return request;
}

void write_file(const std::string& path, const std::string& contents) {
  if (path.empty()) return;
  std::ofstream file(path, std::ios::binary);
  file << contents;
  file.close();
  if (!file) throw data::DataError(data::Fault::io, path + ": cannot be written");
}

Schedule schedule_of(const ScheduleArguments& arguments, schedules::Request& request) {
  if (arguments.kind != "file") return schedules::make_schedule(request);
  Schedule schedule = read_schedule(arguments.file);
  const auto limits = schedules::limits_of(request.goal, schedule.placement.ranks);
  const auto problems = schedules::memory_problems(
      schedule, limits, {.weight_fraction = request.goal.weight_fraction});
  std::string all;
  for (const auto& problem : problems) {
    all += (all.empty() ? "" : "\n") + arguments.file + ": " + problem;
  }
  const auto differs = [&](const char* option, int asked, int found) {
    if (asked == 0 || asked == found) return;
    all += (all.empty() ? "" : "\n") +
           fmt::format("{} {}: {} has {}", option, asked, arguments.file, found);
  };
  differs("--stages", arguments.ranks, schedule.placement.ranks);
  differs("--micro-batches", arguments.micro_batches, schedule.micro_batches);
  if (!all.empty()) throw schedules::ScheduleError(all);
  return schedule;
}

ExitCode show_schedule(const ScheduleArguments& arguments) {
  schedules::Request request = read_request(arguments);
  if (arguments.compare) {
    print_comparison(request, arguments.json);
    return ExitCode::done;
  }
  const Schedule schedule = schedule_of(arguments, request);
  const auto costs = schedules::costs_of(request, schedule.placement);
  const ScheduleReport report = report_of(schedule, costs, request.goal);
  const auto program = schedules::lower(schedule, arguments.slots);
  if (const std::string cycle = schedules::deadlock_of(program); !cycle.empty()) {
    throw schedules::ScheduleError("the program would hang: " + cycle);
  }
  const schedules::MemoryModel memory{.weight_fraction = request.goal.weight_fraction};
  if (!arguments.svg.empty()) {
    write_file(arguments.svg, schedules::svg(schedule, report.timeline, memory));
  }
  if (!arguments.trace.empty()) {
    write_file(arguments.trace, schedules::perfetto_trace(schedule, report.timeline, memory));
  }
  if (arguments.json) {
    std::printf("%s\n", json_of(report).c_str());
  } else if (arguments.text) {
    std::fputs(schedules::schedule_text(schedule).c_str(), stdout);
  } else if (arguments.program) {
    print_program(schedules::with_parameter_communication(program));
  } else {
    print_report(report, program);
  }
  return ExitCode::done;
}

}  // namespace

void add_schedule(CLI::App& app, Command& chosen) {
  auto* command = app.add_subcommand(
      "schedule", "builds, checks, times and draws a pipeline schedule; needs no GPU and no MPI");
  auto arguments = std::make_shared<ScheduleArguments>();
  std::string known;
  for (const auto& kind : schedules::kinds()) known += kind.name + ", ";
  command->add_option("kind", arguments->kind, "one of " + known + "file");
  command->add_option("--stages", arguments->ranks, "ranks of the pipeline");
  command->add_option("--micro-batches,--microbatches", arguments->micro_batches,
                      "micro-batches of a step");
  command->add_option("--virtual-stages", arguments->virtual_stages,
                      "stages per rank; default: the kind's own");
  command->add_option("--group-size", arguments->group_size,
                      "micro-batches that pass a chunk together, for the interleaved kinds");
  command
      ->add_option("--cost", arguments->cost,
                   "F,B,W[,COMM]: times of a micro-batch on a rank's whole share, and of a message")
      ->capture_default_str();
  command->add_option("--stage-cost", arguments->stage_cost,
                      "a JSON file with a row [F,B,W] per stage, instead of --cost's F,B,W");
  command->add_option("--memory-limit", arguments->memory_limit,
                      "micro-batches of a rank's share that a rank may hold; one value, or one per "
                      "rank: 8,7,6,5");
  command
      ->add_option("--weight-fraction", arguments->weight_fraction,
                   "share held until the weight gradient; the rest goes with the input gradient")
      ->capture_default_str();
  command
      ->add_option("--objective", arguments->objective,
                   "of the searched kinds: makespan, or span if the optimizer does not wait")
      ->capture_default_str();
  command->add_option("--seed", arguments->seed, "of the searched kinds")->capture_default_str();
  command
      ->add_option("--effort", arguments->effort, "time for the searched kinds, in about seconds")
      ->capture_default_str();
  command->add_option("--slots", arguments->slots, "receive buffers of a channel")
      ->capture_default_str();
  command->add_option("--file", arguments->file, "the schedule of the kind \"file\"");
  command->add_option("--svg", arguments->svg, "writes a figure");
  command->add_option("--trace", arguments->trace, "writes a trace for ui.perfetto.dev");
  command->add_flag("--compare", arguments->compare, "a table of all kinds instead");
  command->add_flag("--json", arguments->json, "the result as JSON");
  command->add_flag("--text", arguments->text, "the schedule as text, to edit and read back");
  command->add_flag("--program", arguments->program, "what each rank does, with its messages");
  command->footer(
      "Example:\n  trireme schedule zb-v --stages 4 --micro-batches 8 --cost 1,1.2,0.8,0.05\n"
      "  trireme schedule --compare --stages 8 --micro-batches 24 --memory-limit 8");
  command->callback(
      [arguments, &chosen] { chosen = [arguments] { return show_schedule(*arguments); }; });
}

}  // namespace trireme::launch
