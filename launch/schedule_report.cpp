#include "launch/schedule_report.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "schedules/chart.h"
#include "schedules/check.h"
#include "schedules/memory.h"
#include "schedules/text.h"

namespace trireme::launch {
namespace {

using nlohmann::ordered_json;
using schedules::Objective;
using schedules::Schedule;

int terminal_columns() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  const char* columns = std::getenv("COLUMNS");
  return columns != nullptr && std::atoi(columns) > 0 ? std::atoi(columns) : 100;
}

bool wants_color() { return isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr; }

// One string per action; an overlapped pair is one string.
ordered_json action_words(const std::vector<schedules::Action>& actions) {
  ordered_json words = ordered_json::array();
  for (std::size_t i = 0; i < actions.size(); ++i) {
    const std::size_t first = i;
    while (actions[i].overlaps_next) ++i;
    words.push_back(schedules::rank_text({actions.begin() + static_cast<std::ptrdiff_t>(first),
                                          actions.begin() + static_cast<std::ptrdiff_t>(i) + 1}));
  }
  return words;
}

ordered_json placement_json(const schedules::Placement& placement) {
  if (placement.kind != schedules::PlacementKind::custom) return to_text(placement.kind);
  return placement.rank_of[0];
}

}  // namespace

ScheduleReport report_of(const Schedule& schedule, const schedules::Costs& costs,
                         const schedules::SearchGoal& goal) {
  schedules::check(schedule);
  const auto timeline = schedules::simulate(schedule, costs);
  const auto bound = [&](Objective objective) {
    return schedules::lower_bound(schedule.placement, schedule.micro_batches, costs, objective);
  };
  return {.schedule = schedule,
          .goal = goal,
          .timeline = timeline,
          .traffic = schedules::traffic(schedule, costs, timeline),
          .peaks = schedules::peak_memory(schedule, {.weight_fraction = goal.weight_fraction}),
          .lower_bound = bound(Objective::makespan),
          .span_lower_bound = bound(Objective::span)};
}

std::string json_of(const ScheduleReport& report) {
  const Schedule& schedule = report.schedule;
  ordered_json actions = ordered_json::array();
  for (const auto& rank : schedule.ranks) actions.push_back(action_words(rank));
  const double chunks = schedule.placement.chunks();
  const bool whole = chunks == std::floor(chunks);
  return ordered_json{
      {"schedule", schedule.kind},
      {"stages", schedule.placement.ranks},
      {"micro_batches", schedule.micro_batches},
      {"virtual_stages", whole ? ordered_json(static_cast<int>(chunks)) : ordered_json(chunks)},
      {"placement", placement_json(schedule.placement)},
      {"makespan", report.timeline.makespan()},
      {"lower_bound", report.lower_bound},
      {"bubble_fraction", report.timeline.bubble_fraction()},
      {"span", report.timeline.span()},
      {"span_lower_bound", report.span_lower_bound},
      {"span_bubble_fraction", report.timeline.span_bubble_fraction()},
      {"peak_memory", report.peaks},
      {"messages", report.traffic.messages},
      {"waiting_messages", report.traffic.waiting_at_most},
      {"valid", true},
      {"deadlock_free", true},
      {"actions", actions}}
      .dump();
}

void print_report(const ScheduleReport& report, const schedules::Program& program) {
  const auto& timeline = report.timeline;
  const schedules::MemoryModel memory{.weight_fraction = report.goal.weight_fraction};
  std::fputs(
      schedules::chart(report.schedule, timeline,
                       {.columns = terminal_columns(), .color = wants_color(), .memory = memory})
          .c_str(),
      stdout);
  const auto line = [](const char* name, double value, double bound, double bubble) {
    fmt::print("{:<10} {:<12.6g} lower bound {:<12.6g} bubble {:.2f} %\n", name, value, bound,
               100 * bubble);
  };
  std::fputs("\n", stdout);
  line("makespan", timeline.makespan(), report.lower_bound, timeline.bubble_fraction());
  line("span", timeline.span(), report.span_lower_bound, timeline.span_bubble_fraction());
  fmt::print("{:<10} {:.6g} micro-batches of a rank's share at most, {:.6g} at least\n", "memory",
             *std::max_element(report.peaks.begin(), report.peaks.end()),
             *std::min_element(report.peaks.begin(), report.peaks.end()));
  int most_slots = 0;
  for (const auto& channel : program.channels) most_slots = std::max(most_slots, channel.slots);
  fmt::print("{:<10} {} on {} channels of {} receive slots; cannot deadlock\n", "messages",
             report.traffic.messages, program.channels.size(), most_slots);
}

void print_program(const schedules::Program& program) {
  for (std::size_t rank = 0; rank < program.ranks.size(); ++rank) {
    fmt::print("rank {}\n", rank);
    for (const auto& instruction : program.ranks[rank]) {
      fmt::print("  {}\n", schedules::to_text(program, static_cast<int>(rank), instruction));
    }
  }
}

void print_comparison(const schedules::Request& request, bool as_json) {
  auto rows = schedules::compare(request);
  const auto value = [&](const schedules::Comparison& row) {
    return request.goal.objective == Objective::makespan ? row.makespan : row.span;
  };
  const auto group = [](const schedules::Comparison& row) {
    return row.refusal.empty() ? (row.fits ? 0 : 1) : 2;
  };
  std::stable_sort(rows.begin(), rows.end(), [&](const auto& a, const auto& b) {
    return group(a) != group(b) ? group(a) < group(b) : value(a) < value(b);
  });
  ordered_json all = ordered_json::array();
  if (!as_json) {
    fmt::print("{:<18} {:>2} {:>12} {:>9} {:>12} {:>9} {:>9} {:>9}\n", "kind", "v", "makespan",
               "bubble", "span", "bubble", "memory", "messages");
  }
  for (const auto& row : rows) {
    if (as_json && row.refusal.empty()) {
      all.push_back({{"schedule", row.kind},
                     {"virtual_stages", row.virtual_stages},
                     {"makespan", row.makespan},
                     {"bubble_fraction", row.bubble_fraction},
                     {"span", row.span},
                     {"span_bubble_fraction", row.span_bubble_fraction},
                     {"peak_memory", row.peak_memory},
                     {"messages", row.messages},
                     {"fits", row.fits}});
    } else if (as_json) {
      all.push_back({{"schedule", row.kind}, {"refusal", row.refusal}});
    } else if (row.refusal.empty()) {
      fmt::print("{:<18} {:>2} {:>12.6g} {:>7.2f} % {:>12.6g} {:>7.2f} % {:>9.6g} {:>9}{}\n",
                 row.kind, row.virtual_stages, row.makespan, 100 * row.bubble_fraction, row.span,
                 100 * row.span_bubble_fraction, row.peak_memory, row.messages,
                 row.fits ? "" : "  above the memory limit");
    } else {
      fmt::print("{:<18}  - {}\n", row.kind, row.refusal);
    }
  }
  if (as_json) std::printf("%s\n", ordered_json{{"kinds", all}}.dump().c_str());
}

}  // namespace trireme::launch
