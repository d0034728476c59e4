#pragma once

#include <string>

#include "schedules/generate.h"

namespace trireme::schedules {

// Throw ScheduleError, with the values that would do.
void require_shape(const PipelineShape& shape, const std::string& kind);
void require_single_chunk(const PipelineShape& shape, const std::string& kind);
void require_two_chunks(const PipelineShape& shape, const std::string& kind);

// A schedule whose ranks have nothing to do yet.
inline Schedule empty_schedule(const std::string& kind, Placement placement,
                               const PipelineShape& shape) {
  return {.kind = kind,
          .placement = std::move(placement),
          .micro_batches = shape.micro_batches,
          .ranks = std::vector<std::vector<Action>>(static_cast<std::size_t>(shape.ranks))};
}

}  // namespace trireme::schedules
