#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "schedules/schedule.h"

namespace trireme::schedules {

struct CellSize {
  int columns = 0;
  // Columns that a cell of this duration has wherever it begins: numbers that fit only now and then
  // would be noise.
  int room = 0;
};

// `text` may contain escape codes; `columns` is what one sees of it.
struct LegendEntry {
  std::string text;
  int columns = 0;
};

// What the cells of a chart are drawn with.
class Pen {
 public:
  Pen() = default;
  Pen(const Pen&) = delete;
  Pen& operator=(const Pen&) = delete;
  virtual ~Pen() = default;

  virtual std::string idle(int columns) const = 0;
  // `together`: one action, or those of an overlapped pair.
  virtual std::string cell(std::span<const Action> together, const CellSize& size) const = 0;
  virtual std::vector<LegendEntry> legend() const = 0;
};

// Letters and digits, for a log.
std::unique_ptr<Pen> letter_pen(const Schedule& schedule);
// 256-color backgrounds, for a terminal.
std::unique_ptr<Pen> color_pen(const Schedule& schedule);

// Spaces on its right, or on both sides, make `text` this wide, unless it is wider.
std::string left_aligned(std::string text, int columns);
std::string centered(const std::string& text, int columns);

}  // namespace trireme::schedules
