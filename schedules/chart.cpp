#include "schedules/chart.h"

#include <algorithm>

#include "schedules/chart_columns.h"
#include "schedules/chart_pen.h"

namespace trireme::schedules {
namespace {

constexpr int kNumber = 8;          // columns of a number beside a lane
constexpr int kNarrowestLane = 20;  // columns
constexpr int kBetweenTimes = 10;   // columns, at least
constexpr int kBetweenEntries = 3;  // columns

std::string right_aligned(const std::string& text) {
  return std::string(kNumber - std::min<std::size_t>(text.size(), kNumber), ' ') + text;
}

std::string rank_label(int rank) { return "rank " + std::to_string(rank); }

class Chart {
 public:
  Chart(const Schedule& schedule, const Timeline& timeline, const ChartOptions& options)
      : schedule_(schedule),
        timeline_(timeline),
        options_(options),
        pen_(options.color ? color_pen(schedule) : letter_pen(schedule)),
        shown_(evenly_chosen(schedule.placement.ranks, options.most_ranks)),
        label_columns_(static_cast<int>(rank_label(schedule.placement.ranks - 1).size()) + 2) {
    for (const int rank : shown_) slots_.push_back(slots_of(schedule, timeline, rank));
    const int free = options.columns - label_columns_ - 2 * kNumber;
    scale_ = fitting_scale(slots_, timeline.makespan(), std::max(free, kNarrowestLane));
  }

  std::string text() const {
    const auto peaks = peak_memory(schedule_, options_.memory);
    std::string text = ruler();
    for (std::size_t i = 0; i < shown_.size(); ++i) {
      const int rank = shown_[i];
      text += left_aligned(rank_label(rank), label_columns_) + lane(i) +
              right_aligned(short_text(peaks[static_cast<std::size_t>(rank)])) +
              right_aligned(percent_text(idle_fraction(timeline_, rank))) + "\n";
    }
    if (static_cast<int>(shown_.size()) < schedule_.placement.ranks) {
      text += std::to_string(shown_.size()) + " of " + std::to_string(schedule_.placement.ranks) +
              " ranks shown, evenly chosen\n";
    }
    return text + legend();
  }

 private:
  std::string ruler() const {
    std::string times;
    const double makespan = timeline_.makespan();
    const double step = makespan > 0 ? round_step(kBetweenTimes / scale_.columns_per_unit) : 1;
    for (int i = 0; i * step <= makespan; ++i) {
      const std::string time = short_text(i * step);
      const int column = scale_.column(i * step);
      if (column + static_cast<int>(time.size()) > scale_.columns) break;
      times = left_aligned(times, column) + time;
    }
    return left_aligned("time", label_columns_) + left_aligned(times, scale_.columns) +
           right_aligned("peak") + right_aligned("idle") + "\n";
  }

  std::string lane(std::size_t shown) const {
    const auto& actions = schedule_.ranks[static_cast<std::size_t>(shown_[shown])];
    std::string text;
    for (const auto& [slot, columns] : runs_of(actions, slots_[shown], scale_)) {
      if (!slot) {
        text += pen_->idle(columns);
        continue;
      }
      text += pen_->cell(std::span(actions).subspan(slot->first, slot->last - slot->first + 1),
                         {.columns = columns, .room = scale_.whole_columns(slot->interval)});
    }
    return text;
  }

  std::string legend() const {
    std::string text;
    int used = 0;
    for (const auto& [entry, columns] : pen_->legend()) {
      const bool fits = used + kBetweenEntries + columns <= options_.columns;
      if (used > 0) text += fits ? std::string(kBetweenEntries, ' ') : "\n";
      used = used > 0 && fits ? used + kBetweenEntries + columns : columns;
      text += entry;
    }
    return text + "\n";
  }

  const Schedule& schedule_;
  const Timeline& timeline_;
  ChartOptions options_;
  std::unique_ptr<Pen> pen_;
  std::vector<int> shown_;                // ranks
  std::vector<std::vector<Slot>> slots_;  // as shown_
  int label_columns_;
  Scale scale_;
};

}  // namespace

std::string chart(const Schedule& schedule, const Timeline& timeline, const ChartOptions& options) {
  return Chart(schedule, timeline, options).text();
}

}  // namespace trireme::schedules
