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
      {{"gpipe", "all forward passes, then all backward passes", 1}, gpipe},
      {{"1f1b", "one forward, one backward", 1}, one_f_one_b},
      {{"interleaved", "1F1B over v chunks per rank", 0}, interleaved},
      {{"group-interleaved", "interleaved 1F1B with half the warm-up", 0}, group_interleaved},
      {{"looped-bfs", "GPipe over v chunks per rank", 0}, looped_bfs},
      {{"zb-h1", "1F1B with weight gradients in the cool-down", 1}, zb_h1},
      {{"zb-h2", "zb-h1 with twice the warm-up", 1}, zb_h2},
      {{"interleaved-zb", "zb-h1 over v chunks per rank", 0}, interleaved_zb},
      {{"interleaved-zb-h2", "zb-h2 over v chunks per rank", 0}, interleaved_zb_h2},
      {{"zb-v", "two chunks in a V, zero bubble in 1F1B's memory", 2}, zb_v},
      {{"v-half", "two chunks in a V, half of 1F1B's memory", 2}, v_half},
      {{"v-min", "two chunks in a V, a third of 1F1B's memory", 2}, v_min},
      {{"1f1b-v", "two chunks in a V, whole backward passes", 2}, one_f_one_b_v},
      {{"dualpipe", "both directions at once, two copies of the parameters", 1, false, true},
       dual_pipe},
      {{"dualpipe-v", "DualPipe folded into a V", 2}, dual_pipe_v},
      {{"zb-auto", "searched: one chunk, for the costs and the memory limit", 1, true}},
      {{"zb-v-auto", "searched: two chunks in a V", 2, true}},
      {{"auto", "searched: the best there is for the costs and the memory limit", 0, true}},
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

// Effort that `auto` spends on every placement before it looks closer at the two best.
constexpr double kFirstLook = 0.1;
constexpr double kShareOfFirst = 0.6;

struct Candidate {
  Placement placement;
  PipelineShape shape;
  Schedule best = {};
  double value = std::numeric_limits<double>::infinity();

  void improve(const Request& request, double effort) {
    Schedule found = best_of(request, placement, shape, effort);
    const double other =
        objective_of(simulate(found, costs_of(request, found.placement)), request.goal.objective);
    if (other >= value) return;
    value = other;
    best = std::move(found);
  }
};

Schedule search_auto(const Request& request) {
  std::vector<int> chunk_counts = {1, 2, 4};
  if (request.shape.virtual_stages > 0) {
    chunk_counts = {request.shape.virtual_stages};
  } else if (!request.stage_costs.empty()) {
    chunk_counts = {static_cast<int>(request.stage_costs.size()) / request.shape.ranks};
  }
  std::vector<Candidate> candidates;
  for (const int chunks : chunk_counts) {
    PipelineShape shape = request.shape;
    shape.virtual_stages = chunks;
    candidates.push_back({Placement::loop(shape.ranks, chunks), shape});
    // On one rank, or with one chunk, it is the same placement.
    if (chunks > 1 && shape.ranks > 1) {
      candidates.push_back({Placement::v(shape.ranks, chunks), shape});
    }
  }
  const double each = candidates.size() > 1 ? kFirstLook : 1;
  for (Candidate& candidate : candidates) candidate.improve(request, each);
  const double left = 1 - each * static_cast<double>(candidates.size());
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.value < b.value; });
  if (candidates.size() > 1) {
    candidates[0].improve(request, left * kShareOfFirst);
    candidates[1].improve(request, left * (1 - kShareOfFirst));
    if (candidates[1].value < candidates[0].value) std::swap(candidates[0], candidates[1]);
  }
  return std::move(candidates[0].best);
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
