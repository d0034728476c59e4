#include "schedules/shape_rules.h"

namespace trireme::schedules {
namespace {

void require_chunks(const PipelineShape& shape, const std::string& kind, int chunks) {
  require_shape(shape, kind);
  if (shape.virtual_stages == chunks) return;
  throw ScheduleError(kind + " runs " + std::to_string(chunks) + " virtual stage" +
                      (chunks == 1 ? "" : "s") + " per rank; got " +
                      std::to_string(shape.virtual_stages));
}

}  // namespace

void require_shape(const PipelineShape& shape, const std::string& kind) {
  std::string problems;
  const auto positive = [&](const char* what, int value) {
    if (value < 1) {
      problems += std::string(problems.empty() ? "" : "; ") + what + " must be at least 1, got " +
                  std::to_string(value);
    }
  };
  positive("ranks", shape.ranks);
  positive("micro-batches", shape.micro_batches);
  positive("virtual stages", shape.virtual_stages);
  if (shape.group_size < 0) {
    problems += std::string(problems.empty() ? "" : "; ") +
                "group size must be at least 1, or 0 for the kind's own, got " +
                std::to_string(shape.group_size);
  }
  if (!problems.empty()) throw ScheduleError(kind + ": " + problems);
}

void require_single_chunk(const PipelineShape& shape, const std::string& kind) {
  require_chunks(shape, kind, 1);
}

void require_two_chunks(const PipelineShape& shape, const std::string& kind) {
  require_chunks(shape, kind, 2);
}

}  // namespace trireme::schedules
