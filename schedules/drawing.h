#pragma once

#include <optional>
#include <string>
#include <vector>

#include "schedules/memory.h"
#include "schedules/number_text.h"

// What the drawings of a schedule have in common.
namespace trireme::schedules {

// "W backward (weights)": what a legend calls a pass.
const char* label_of(Pass pass);

// "p = 4, m = 8, v = 2".
std::string shape_text(const Schedule& schedule);

// The smallest 1, 2 or 5 times a power of ten that is not below `least`: steps of an axis.
double round_step(double least);

// At most `most` of [0, count), as evenly spaced as can be, both ends among them.
std::vector<int> evenly_chosen(int count, int most);

// The passes that occur, in the order of the enumerators.
std::vector<Pass> passes_of(const Schedule& schedule);

// Part of the makespan in which a rank has nothing to do.
double idle_fraction(const Timeline& timeline, int rank);

// Actions [first, last] of a rank run at the same time: one action, or an overlapped pair.
struct Slot {
  std::size_t first = 0;
  std::size_t last = 0;
  Interval interval;
};

std::vector<Slot> slots_of(const Schedule& schedule, const Timeline& timeline, int rank);

// The shortest time, above zero, that any of these slots takes; 0 if none takes time.
double shortest(const std::vector<Slot>& slots);

// memory_over_time() without the values that are replaced at the moment they are reached.
std::vector<MemoryPoint> memory_steps(const Schedule& schedule, const Timeline& timeline,
                                      const MemoryModel& model, int rank);

// Numbers the stages that a rank holds, copy after copy of the model.
class Chunks {
 public:
  explicit Chunks(const Schedule& schedule);

  int of(const Action& action) const {
    return chunk_of_[static_cast<std::size_t>(schedule_.copy_of(action.micro_batch))]
                    [static_cast<std::size_t>(action.stage)];
  }
  // The largest number that a rank holds.
  int count() const { return count_; }
  // What people call them: "chunk", or "copy" of the model.
  std::string name() const { return schedule_.placement.copies() > 1 ? "copy" : "chunk"; }
  // 0, light, for the first chunk to 1, dark, for the last; nothing if there is only one.
  std::optional<double> shade(int chunk) const {
    if (count_ == 1) return std::nullopt;
    return static_cast<double>(chunk) / (count_ - 1);
  }

 private:
  const Schedule& schedule_;
  std::vector<std::vector<int>> chunk_of_;  // (copies, stages)
  int count_ = 1;
};

}  // namespace trireme::schedules
