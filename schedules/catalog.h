#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "schedules/generate.h"
#include "schedules/search.h"

namespace trireme::schedules {

// One kind of schedule, as users name it.
struct Kind {
  std::string name;
  std::string summary;
  int virtual_stages = 0;     // that it takes; 0: any number
  bool is_searched = false;   // from costs and a memory limit
  bool two_copies = false;    // of the parameters
  bool takes_groups = false;  // a group size
};

const std::vector<Kind>& kinds();

// Throws ScheduleError with the names there are.
const Kind& kind_named(std::string_view name);

// Stages per rank where nobody says: what the kind takes, or two if there are layers enough.
int usual_virtual_stages(const Kind& kind, int ranks, std::int64_t layers);

// What is asked of a kind.
struct Request {
  std::string kind;
  PipelineShape shape;  // virtual_stages 0: the kind's own choice
  // A rank's whole share, unless stage_costs has one per stage.
  StageCost cost;
  std::vector<StageCost> stage_costs;
  double communication = 0;
  SearchGoal goal;
};

// The costs of a request under a placement. Throws ScheduleError if stage_costs does not fit it.
Costs costs_of(const Request& request, const Placement& placement);

// Builds the schedule: generated, or searched for the costs and the limit. `auto` is no worse than
// any other kind with one copy of the parameters that fits the limit; without a number of virtual
// stages it looks at 1, 2 and 4. Throws ScheduleError if the shape breaks the kind's rule, or if
// the memory limit is below what it needs, naming the smallest feasible limit.
Schedule make_schedule(const Request& request);

// One line of a comparison.
struct Comparison {
  std::string kind;
  int virtual_stages = 0;
  double makespan = 0, bubble_fraction = 0;
  double span = 0, span_bubble_fraction = 0;
  double peak_memory = 0;  // of the rank that holds most
  int messages = 0;
  bool fits = false;    // the memory limit
  std::string refusal;  // why there is no such schedule; then nothing else is set
};

// Every kind under the request's ranks, micro-batches, costs and limit.
std::vector<Comparison> compare(const Request& request);

}  // namespace trireme::schedules
