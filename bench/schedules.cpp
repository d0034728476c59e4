#include "bench/schedules.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>

#include "schedules/check.h"
#include "schedules/memory.h"
#include "schedules/program.h"

namespace trireme::bench {
namespace {

using nlohmann::json;
using schedules::Objective;
using schedules::Request;
using schedules::Schedule;

// Times of a micro-batch on a rank's share, of a message, and what the first and the last stage
// take beyond theirs, in shares.
struct CostSet {
  const char* name;
  schedules::StageCost share;
  double communication = 0, first_extra = 0, last_extra = 0;
};

const std::vector<CostSet>& cost_sets() {
  // The fourth is the profile of the 14.6 billion parameter model in the zero-bubble paper
  // (arXiv:2401.10241, table 9), in milliseconds.
  static const std::vector<CostSet> all = {{"unit", {1, 1, 1, 1}},
                                           {"real", {1, 1.2, 0.8, 1}, 0.05},
                                           {"comm", {10, 12, 9, 10}, 1},
                                           {"profiled", {11.347, 11.248, 8.132, 11.347}, 0.377},
                                           {"uneven", {1, 1.2, 0.8, 1}, 0.05, 0.1, 0.4}};
  return all;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void set_costs(const CostSet& costs, Request& request) {
  const schedules::Placement placement =
      schedules::Placement::loop(request.shape.ranks, std::max(1, request.shape.virtual_stages));
  request.cost = costs.share;
  request.communication = costs.communication;
  if (costs.first_extra == 0 && costs.last_extra == 0) return;
  request.stage_costs = schedules::Costs::even(placement, costs.share).stages;
  const auto add = [&](schedules::StageCost& stage, double extra) {
    stage.forward += extra * costs.share.forward;
    stage.backward_input += extra * costs.share.backward_input;
    stage.backward_weight += extra * costs.share.backward_weight;
  };
  add(request.stage_costs.front(), costs.first_extra);
  add(request.stage_costs.back(), costs.last_extra);
}

SearchResult run_search(const Request& request, const std::string& costs) {
  SearchResult result{.request = request, .costs = costs, .reference_kind = ""};
  const auto start = std::chrono::steady_clock::now();
  const Schedule schedule = schedules::make_schedule(request);
  result.seconds = seconds_since(start);
  schedules::check(schedule);
  const auto stage_costs = schedules::costs_of(request, schedule.placement);
  result.found =
      schedules::objective_of(schedules::simulate(schedule, stage_costs), request.goal.objective);
  result.lower_bound = schedules::lower_bound(schedule.placement, schedule.micro_batches,
                                              stage_costs, request.goal.objective);
  return result;
}

std::vector<SearchResult> against_targets(const SearchOptions& options) {
  std::ifstream file(options.targets);
  const json root = json::parse(file, nullptr, false);
  if (root.is_discarded() || !root.contains("shapes")) {
    throw schedules::ScheduleError(options.targets + ": not a file of targets");
  }
  std::vector<SearchResult> results;
  int number = 0;
  for (const json& shape : root["shapes"]) {
    for (const json& target : shape["targets"]) {
      for (const Objective objective : {Objective::makespan, Objective::span}) {
        const json& reference = target[objective == Objective::makespan ? 3 : 4];
        if (number++ % options.every != 0 || reference.is_null()) continue;
        Request request;
        const int chunks = shape["v"];
        request.shape = {shape["p"], shape["m"], chunks, 0};
        request.kind = "auto";
        if (chunks == 1) request.kind = "zb-auto";
        if (chunks == 2 && shape["placement"] == "v") request.kind = "zb-v-auto";
        const std::string name = target[0];
        const auto costs = std::find_if(cost_sets().begin(), cost_sets().end(),
                                        [&](const CostSet& set) { return set.name == name; });
        if (costs == cost_sets().end()) {
          throw schedules::ScheduleError(options.targets + ": unknown costs \"" + name + "\"");
        }
        set_costs(*costs, request);
        request.goal = {.objective = objective,
                        .memory_limit = {target[1].get<double>()},
                        .weight_fraction = target[2],
                        .effort = options.effort};
        SearchResult result = run_search(request, name);
        result.reference = reference;
        result.reference_kind = "target";
        results.push_back(std::move(result));
      }
    }
  }
  return results;
}

// The best generated schedule that fits, of one, two or four chunks.
void set_reference(SearchResult& result) {
  const bool span = result.request.goal.objective == Objective::span;
  for (const int chunks : {1, 2, 4}) {
    Request request = result.request;
    request.shape.virtual_stages = chunks;
    for (const schedules::Kind& kind : schedules::kinds()) {
      if (kind.is_searched || kind.two_copies) continue;
      if (kind.virtual_stages != 0 && kind.virtual_stages != chunks) continue;
      request.kind = kind.name;
      try {
        const Schedule schedule = schedules::make_schedule(request);
        const auto timeline =
            schedules::simulate(schedule, schedules::costs_of(request, schedule.placement));
        const double value = span ? timeline.span() : timeline.makespan();
        if (result.reference > 0 && value >= result.reference) continue;
        result.reference = value;
        result.reference_kind = kind.name + " v=" + std::to_string(chunks);
      } catch (const schedules::ScheduleError&) {
        // Not for this shape, or above the limit.
      }
    }
  }
}

std::vector<SearchResult> against_kinds(const SearchOptions& options) {
  std::vector<SearchResult> results;
  int number = 0;
  for (const int ranks : {4, 8, 16}) {
    for (const int micro_batches : {ranks / 2, ranks, 3 * ranks}) {
      for (const CostSet& costs : cost_sets()) {
        if (costs.first_extra != 0 || costs.last_extra != 0) continue;  // not for any v at once
        for (const double share : {0.5, 0.75, 1.0, 1.25, 1.5, 2.0}) {
          for (const Objective objective : {Objective::makespan, Objective::span}) {
            if (number++ % options.every != 0) continue;
            Request request;
            request.kind = "auto";
            request.shape = {ranks, micro_batches, 0, 0};
            set_costs(costs, request);
            request.goal = {
                .objective = objective, .memory_limit = {share * ranks}, .effort = options.effort};
            SearchResult result = run_search(request, costs.name);
            set_reference(result);
            results.push_back(std::move(result));
          }
        }
      }
    }
  }
  return results;
}

// The fastest of a few runs.
template <typename Run>
double fastest(int runs, const Run& run) {
  double best = 1e300;
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    run();
    best = std::min(best, seconds_since(start));
  }
  return best;
}

double action_count(const Schedule& schedule) {
  double count = 0;
  for (const auto& actions : schedule.ranks) count += static_cast<double>(actions.size());
  return count;
}

}  // namespace

std::vector<SearchResult> run_searches(const SearchOptions& options) {
  return options.targets.empty() ? against_kinds(options) : against_targets(options);
}

std::vector<ScheduleSpeed> run_schedule_speeds() {
  std::vector<ScheduleSpeed> speeds;
  const auto add = [&](const std::string& what, const Schedule& schedule, double seconds) {
    speeds.push_back({what, action_count(schedule), seconds});
  };
  const schedules::PipelineShape small{16, 256, 2, 0}, large{16384, 64, 1, 0};
  const Schedule zb_v = schedules::zb_v(small), one_f_one_b = schedules::one_f_one_b(large);
  const auto small_costs = schedules::Costs::even(zb_v.placement, {1, 1.2, 0.8, 1}, 0.05);
  const auto large_costs = schedules::Costs::even(one_f_one_b.placement, {1, 1.2, 0.8, 1}, 0.05);
  add("zb-v p=16 m=256: generate, check, simulate", zb_v, fastest(5, [&] {
        const Schedule schedule = schedules::zb_v(small);
        schedules::check(schedule);
        schedules::simulate(schedule, small_costs);
      }));
  add("zb-v p=16 m=256: lower and prove", zb_v, fastest(5, [&] {
        if (!schedules::deadlock_of(schedules::lower(zb_v)).empty())
          throw std::logic_error("hangs");
      }));
  add("1f1b p=16384 m=64: simulate", one_f_one_b,
      fastest(3, [&] { schedules::simulate(one_f_one_b, large_costs); }));
  add("1f1b p=16384 m=64: generate, check, simulate", one_f_one_b, fastest(3, [&] {
        const Schedule schedule = schedules::one_f_one_b(large);
        schedules::check(schedule);
        schedules::simulate(schedule, large_costs);
      }));
  for (const int chunks : {1, 2, 4}) {
    Request request;
    request.kind = "auto";
    request.shape = {16, 64, chunks, 0};
    request.cost = {1, 1.2, 0.8, 1};
    request.communication = 0.05;
    request.goal.memory_limit = {16};
    Schedule found;
    const double seconds = fastest(1, [&] { found = schedules::make_schedule(request); });
    add("auto p=16 m=64 v=" + std::to_string(chunks) + ": search", found, seconds);
  }
  return speeds;
}

}  // namespace trireme::bench
