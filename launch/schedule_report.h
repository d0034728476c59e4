#pragma once

#include <string>
#include <vector>

#include "launch/exit_code.h"
#include "schedules/catalog.h"
#include "schedules/program.h"

namespace trireme::launch {

// What is known about one schedule.
struct ScheduleReport {
  const schedules::Schedule& schedule;
  const schedules::SearchGoal& goal;
  schedules::Timeline timeline;
  schedules::Traffic traffic;
  std::vector<double> peaks;  // per rank, in micro-batches
  double lower_bound = 0, span_lower_bound = 0;
};

// Throws ScheduleError if the schedule cannot run.
ScheduleReport report_of(const schedules::Schedule& schedule, const schedules::Costs& costs,
                         const schedules::SearchGoal& goal);

std::string json_of(const ScheduleReport& report);

// A chart as wide as the terminal, and what the schedule costs.
void print_report(const ScheduleReport& report, const schedules::Program& program);

// What each rank does, instruction by instruction.
void print_program(const schedules::Program& program);

// Every kind in a table, or as JSON: those that fit the memory limit first, the best of them on
// top.
void print_comparison(const schedules::Request& request, bool as_json);

}  // namespace trireme::launch
