#include "schedules/catalog.h"

#include <algorithm>
#include <limits>

#include "schedules/check.h"
#include "schedules/memory.h"
#include "schedules/number_text.h"

namespace trireme::schedules {
namespace {

using Generator = Schedule (*)(const PipelineShape&);

struct Entry {
  Kind kind;
  Generator generate = nullptr;  // null: searched
};

const std::vector<Entry>& entries() {
  static const std::vector<Entry> all = {
      {{.name = "gpipe",
        .summary = "all forward passes, then all backward passes",
        .virtual_stages = 1},
       gpipe},
      {{.name = "1f1b", .summary = "one forward, one backward", .virtual_stages = 1}, one_f_one_b},
      {{.name = "interleaved", .summary = "1F1B over v chunks per rank", .takes_groups = true},
       interleaved},
      {{.name = "group-interleaved",
        .summary = "interleaved 1F1B with half the warm-up",
        .takes_groups = true},
       group_interleaved},
      {{.name = "looped-bfs", .summary = "GPipe over v chunks per rank", .virtual_stages = 0},
       looped_bfs},
      {{.name = "zb-h1",
        .summary = "1F1B with weight gradients in the cool-down",
        .virtual_stages = 1},
       zb_h1},
      {{.name = "zb-h2", .summary = "zb-h1 with twice the warm-up", .virtual_stages = 1}, zb_h2},
      {{.name = "interleaved-zb", .summary = "zb-h1 over v chunks per rank", .takes_groups = true},
       interleaved_zb},
      {{.name = "interleaved-zb-h2",
        .summary = "zb-h2 over v chunks per rank",
        .takes_groups = true},
       interleaved_zb_h2},
      {{.name = "zb-v",
        .summary = "two chunks in a V, zero bubble in 1F1B's memory",
        .virtual_stages = 2},
       zb_v},
      {{.name = "v-half",
        .summary = "two chunks in a V, half of 1F1B's memory",
        .virtual_stages = 2},
       v_half},
      {{.name = "v-min",
        .summary = "two chunks in a V, a third of 1F1B's memory",
        .virtual_stages = 2},
       v_min},
      {{.name = "1f1b-v",
        .summary = "two chunks in a V, whole backward passes",
        .virtual_stages = 2},
       one_f_one_b_v},
      {{.name = "dualpipe",
        .summary = "both directions at once, two copies of the parameters",
        .virtual_stages = 1,
        .two_copies = true},
       dual_pipe},
      {{.name = "dualpipe-v", .summary = "DualPipe folded into a V", .virtual_stages = 2},
       dual_pipe_v},
      {{.name = "zb-auto",
        .summary = "searched: one chunk, for the costs and the memory limit",
        .virtual_stages = 1,
        .is_searched = true}},
      {{.name = "zb-v-auto",
        .summary = "searched: two chunks in a V",
        .virtual_stages = 2,
        .is_searched = true}},
      {{.name = "auto",
        .summary = "searched: the best there is for the costs and the memory limit",
        .virtual_stages = 0,
        .is_searched = true}},
  };
  return all;
}

const Entry& entry_named(std::string_view name) {
  const auto& all = entries();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const Entry& one) { return one.kind.name == name; });
  if (found != all.end()) return *found;
  std::string known;
  for (const Entry& one : all) known += (known.empty() ? "" : ", ") + one.kind.name;
  throw ScheduleError("unknown schedule \"" + std::string(name) + "\"; the kinds are " + known);
}

PipelineShape shape_for(const Entry& entry, const Request& request) {
  PipelineShape shape = request.shape;
  const auto costs = static_cast<int>(request.stage_costs.size());
  if (shape.virtual_stages == 0 && costs > 0 && shape.ranks > 0) {
    shape.virtual_stages = costs / shape.ranks;
  }
  if (shape.virtual_stages == 0) {
    shape.virtual_stages = entry.kind.virtual_stages > 0 ? entry.kind.virtual_stages : 2;
  }
  return shape;
}

// Refuses what has the wrong shape for the kind, with the kind's own message.
// A table of a few gigabytes.
constexpr std::int64_t kMostPasses = 50'000'000;

void require_kind_shape(const Kind& kind, const PipelineShape& shape) {
  std::string problems;
  const auto problem = [&](const std::string& text) {
    problems += (problems.empty() ? "" : "; ") + text;
  };
  if (shape.ranks < 1) problem("ranks must be at least 1, got " + std::to_string(shape.ranks));
  if (shape.micro_batches < 1) {
    problem("micro-batches must be at least 1, got " + std::to_string(shape.micro_batches));
  }
  const int wanted = kind.virtual_stages;
  if (shape.virtual_stages < 1) {
    problem("virtual stages must be at least 1, got " + std::to_string(shape.virtual_stages));
  } else if (wanted > 0 && shape.virtual_stages != wanted) {
    problem("virtual stages must be " + std::to_string(wanted) + ", got " +
            std::to_string(shape.virtual_stages));
  }
  if (shape.group_size != 0 && !kind.takes_groups) {
    problem("takes no group size, got " + std::to_string(shape.group_size));
  }
  const std::int64_t stages = std::int64_t{shape.ranks} * shape.virtual_stages;
  if (problems.empty() && stages * shape.micro_batches > kMostPasses) {
    problem(std::to_string(stages) + " stages times " + std::to_string(shape.micro_batches) +
            " micro-batches are more than " + std::to_string(kMostPasses) + " forward passes");
  }
  if (!problems.empty()) throw ScheduleError(kind.name + ": " + problems);
}

// Every generated schedule of this placement, whatever it holds.
std::vector<Schedule> seeds_for(const Placement& placement, const PipelineShape& shape) {
  std::vector<Schedule> seeds;
  const auto offer = [&](Generator generate, const PipelineShape& asked) {
    try {
      Schedule seed = generate(asked);
      if (seed.placement.rank_of == placement.rank_of) seeds.push_back(std::move(seed));
    } catch (const ScheduleError&) {
      // This kind has no schedule of this shape.
    }
  };
  for (const Entry& entry : entries()) {
    const bool right_shape =
        entry.kind.virtual_stages == 0 || entry.kind.virtual_stages == shape.virtual_stages;
    if (entry.generate == nullptr || entry.kind.two_copies || !right_shape) continue;
    offer(entry.generate, shape);
  }
  constexpr int kMostGroupSizes = 8;
  const int smallest = (shape.ranks + 1) / 2;
  const int step = std::max(1, (shape.ranks - smallest) / kMostGroupSizes);
  for (int group = smallest; shape.virtual_stages > 1 && group < shape.ranks; group += step) {
    PipelineShape grouped = shape;
    grouped.group_size = group;
    offer(group_interleaved, grouped);
  }
  return seeds;
}

bool fits(const Schedule& schedule, const SearchGoal& goal) {
  return memory_problems(schedule, limits_of(goal, schedule.placement.ranks),
                         {.weight_fraction = goal.weight_fraction})
      .empty();
}

// A searched schedule, or the seed that is still better: seeds may overlap passes.
Schedule best_of(const Request& request, const Placement& placement, const PipelineShape& shape,
                 double effort) {
  const Costs costs = costs_of(request, placement);
  const auto seeds = seeds_for(placement, shape);
  SearchGoal goal = request.goal;
  goal.effort *= effort;
  Schedule best = search_schedule(placement, shape.micro_batches, costs, goal, seeds);
  double value = objective_of(simulate(best, costs), goal.objective);
  for (const Schedule& seed : seeds) {
    const double other = objective_of(simulate(seed, costs), goal.objective);
    if (other >= value || !fits(seed, goal)) continue;
    value = other;
    best = seed;
  }
  return best;
}

// Shares of the effort. `auto` spends on a placement what the kind that is named after it does, so
// it is no worse.
constexpr double kZbAuto = 0.5;
constexpr double kZbVAuto = 0.7;

struct Candidate {
  Placement placement;
  int virtual_stages;
  double effort;
  std::uint64_t other_seed = 0;
};

// What `auto` looks at, the most promising first.
std::vector<Candidate> candidates_for(int ranks, int virtual_stages) {
  const Placement loop = Placement::loop(ranks, std::max(1, virtual_stages));
  if (virtual_stages == 1) return {{loop, 1, kZbAuto}, {loop, 1, 1 - kZbAuto, 1}};
  const Candidate zb_v{Placement::v(ranks), 2, kZbVAuto};
  if (virtual_stages == 2) return {zb_v, {loop, 2, 1 - kZbVAuto}};
  if (virtual_stages > 2) {
    return {{loop, virtual_stages, 0.7},
            {Placement::v(ranks, virtual_stages), virtual_stages, 0.3}};
  }
  return {zb_v,
          {Placement::loop(ranks, 4), 4, 0.22},
          {Placement::loop(ranks, 1), 1, kZbAuto},
          {Placement::loop(ranks, 2), 2, 0.12},
          {Placement::v(ranks, 4), 4, 0.08}};
}

Schedule search_auto(const Request& request) {
  int virtual_stages = request.shape.virtual_stages;
  if (virtual_stages == 0 && !request.stage_costs.empty()) {
    virtual_stages = static_cast<int>(request.stage_costs.size()) / request.shape.ranks;
  }
  Schedule best;
  double best_value = std::numeric_limits<double>::infinity();
  for (const Candidate& candidate : candidates_for(request.shape.ranks, virtual_stages)) {
    const Costs costs = costs_of(request, candidate.placement);
    const Objective objective = request.goal.objective;
    if (lower_bound(candidate.placement, request.shape.micro_batches, costs, objective) >=
        best_value) {
      continue;
    }
    Request asked = request;
    asked.goal.seed += candidate.other_seed;
    PipelineShape shape = request.shape;
    shape.virtual_stages = candidate.virtual_stages;
    Schedule found = best_of(asked, candidate.placement, shape, candidate.effort);
    const double value = objective_of(simulate(found, costs), objective);
    if (value >= best_value) continue;
    best_value = value;
    best = std::move(found);
  }
  return best;
}

void refuse_excess(const Schedule& schedule, const SearchGoal& goal) {
  if (fits(schedule, goal)) return;
  const auto peaks = peak_memory(schedule, {.weight_fraction = goal.weight_fraction});
  const auto limits = limits_of(goal, schedule.placement.ranks);
  for (std::size_t rank = 0; rank < peaks.size(); ++rank) {
    if (peaks[rank] <= limits[rank] + 1e-9) continue;
    throw ScheduleError(schedule.kind + " holds " + decimal_text(peaks[rank], 4) +
                        " micro-batches on rank " + std::to_string(rank) +
                        ", the memory limit is " + decimal_text(limits[rank], 4) +
                        "; the smallest feasible limit for " + schedule.kind + " here is " +
                        decimal_text(*std::max_element(peaks.begin(), peaks.end()), 4) +
                        ", and auto can do with less");
  }
}

Comparison compare_one(const Entry& entry, const Request& request) {
  Comparison row;
  row.kind = entry.kind.name;
  row.virtual_stages = shape_for(entry, request).virtual_stages;
  try {
    Request asked = request;
    asked.kind = entry.kind.name;
    if (entry.generate != nullptr) asked.goal.memory_limit.clear();
    const Schedule schedule = make_schedule(asked);
    const Costs costs = costs_of(asked, schedule.placement);
    const Timeline timeline = simulate(schedule, costs);
    const auto peaks = peak_memory(schedule, {.weight_fraction = request.goal.weight_fraction});
    row.virtual_stages = static_cast<int>(schedule.placement.chunks());
    row.makespan = timeline.makespan();
    row.bubble_fraction = timeline.bubble_fraction();
    row.span = timeline.span();
    row.span_bubble_fraction = timeline.span_bubble_fraction();
    row.peak_memory = *std::max_element(peaks.begin(), peaks.end());
    row.messages = traffic(schedule, costs, timeline).messages;
    row.fits = fits(schedule, request.goal);
  } catch (const ScheduleError& error) {
    row.refusal = error.what();
  }
  return row;
}

}  // namespace

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all = [] {
    std::vector<Kind> list;
    for (const Entry& entry : entries()) list.push_back(entry.kind);
    return list;
  }();
  return all;
}

const Kind& kind_named(std::string_view name) { return entry_named(name).kind; }

int usual_virtual_stages(const Kind& kind, int ranks, std::int64_t layers) {
  if (kind.virtual_stages > 0) return kind.virtual_stages;
  return layers >= 2 * ranks ? 2 : 1;
}

Costs costs_of(const Request& request, const Placement& placement) {
  if (request.stage_costs.empty()) {
    return Costs::even(placement, request.cost, request.communication);
  }
  if (request.stage_costs.size() != static_cast<std::size_t>(placement.stages)) {
    throw ScheduleError("stage costs for " + std::to_string(request.stage_costs.size()) +
                        " stages: " + std::to_string(placement.ranks) + " ranks with " +
                        short_text(placement.chunks()) + " virtual stages have " +
                        std::to_string(placement.stages));
  }
  return {.stages = request.stage_costs, .communication = request.communication};
}

Schedule make_schedule(const Request& request) {
  const Entry& entry = entry_named(request.kind);
  const PipelineShape shape = shape_for(entry, request);
  require_kind_shape(entry.kind, shape);
  limits_of(request.goal, shape.ranks);
  if (entry.kind.name == "auto") return search_auto(request);
  if (entry.kind.is_searched) {
    const Placement placement =
        shape.virtual_stages == 1 ? Placement::loop(shape.ranks, 1) : Placement::v(shape.ranks);
    Schedule found = best_of(request, placement, shape, 1);
    found.kind = entry.kind.name;
    return found;
  }
  Schedule schedule = entry.generate(shape);
  costs_of(request, schedule.placement);
  refuse_excess(schedule, request.goal);
  return schedule;
}

std::vector<Comparison> compare(const Request& request) {
  std::vector<Comparison> rows;
  for (const Entry& entry : entries()) rows.push_back(compare_one(entry, request));
  return rows;
}

}  // namespace trireme::schedules
