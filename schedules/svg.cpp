#include "schedules/svg.h"

#include <algorithm>
#include <array>
#include <map>

#include "schedules/drawing.h"
#include "schedules/svg_elements.h"

namespace trireme::schedules {
namespace {

constexpr const char* kGray = "#666";
constexpr const char* kIdle = "url(#idle)";
constexpr double kLeft = 92;     // where time begins; left of it are the names
constexpr double kRight = 100;   // right of the last end are the numbers
constexpr double kDigit = 0.62;  // width of a digit of a wide font of size 1
constexpr double kMargin = 2;    // beside a number, both sides together
constexpr double kSmallestFont = 6;
constexpr double kPanel = 52;  // height of a memory curve
constexpr int kMostPanels = 4;

// Draws from top to bottom; `y_` is how far it has come.
class Figure {
 public:
  Figure(const Schedule& schedule, const Timeline& timeline, const MemoryModel& model)
      : schedule_(schedule),
        timeline_(timeline),
        model_(model),
        chunks_(schedule),
        makespan_(timeline.makespan()),
        peaks_(peak_memory(schedule, model)) {
    for (int rank = 0; rank < schedule.placement.ranks; ++rank) {
      slots_.push_back(slots_of(schedule, timeline, rank));
    }
    choose_sizes();
  }

  std::string draw() {
    title();
    legend();
    lanes();
    time_axis();
    memory();
    const std::string size = pixels(kLeft + width_ + kRight) + "\" height=\"" + pixels(y_);
    return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
           "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" +
           size + "\" viewBox=\"0 0 " + pixels(kLeft + width_ + kRight) + " " + pixels(y_) +
           "\" font-family=\"Helvetica, Arial, sans-serif\">\n<title>" +
           escaped(schedule_.kind + ": " + shape_text(schedule_)) +
           "</title>\n"
           "<defs><pattern id=\"idle\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" "
           "patternTransform=\"rotate(45)\"><rect width=\"5\" height=\"5\" fill=\"#f4f4f4\"/>"
           "<rect width=\"1.5\" height=\"5\" fill=\"#d9d9d9\"/></pattern></defs>\n"
           "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n" +
           body_ + "</svg>\n";
  }

 private:
  double x(double time) const { return makespan_ > 0 ? time / makespan_ * width_ : 0; }

  void choose_sizes() {
    double least = makespan_;
    bool pairs = false;
    for (const auto& slots : slots_) {
      const double duration = shortest(slots);
      if (duration > 0) least = std::min(least, duration);
      pairs = pairs || std::any_of(slots.begin(), slots.end(),
                                   [](const Slot& slot) { return slot.first != slot.last; });
    }
    width_ = std::clamp(least > 0 ? makespan_ / least * 16 : 0, 620.0, 1100.0);
    const double ranks = static_cast<double>(slots_.size());
    pitch_ = std::clamp(340 / ranks, 6.0, pairs ? 34.0 : 28.0);
    lane_ = pitch_ - (pitch_ < 12 ? 1 : 3);
    choose_font(pairs);
  }

  // One size for all numbers, the largest that fits into the shortest action of each pass that has
  // any room at all.
  void choose_font(bool pairs) {
    constexpr double kNone = 1e9;
    std::array<double, 5> narrowest;  // pixels, per pass
    narrowest.fill(kNone);
    for (std::size_t rank = 0; rank < slots_.size(); ++rank) {
      for (const auto& [first, last, interval] : slots_[rank]) {
        double& least = narrowest[static_cast<std::size_t>(schedule_.ranks[rank][first].pass)];
        least = std::min(least, x(interval.end - interval.start));
      }
    }
    font_ = std::min(11.0, 0.8 * lane_ / (pairs ? 2 : 1));
    for (const double least : narrowest) {
      const double largest = (least - kMargin) / (kDigit * digits());
      if (largest >= kSmallestFont) font_ = std::min(font_, largest);
    }
  }

  double digits() const {
    return static_cast<double>(std::to_string(schedule_.micro_batches - 1).size());
  }

  bool number_fits(double width) const {
    return font_ >= kSmallestFont && width >= kDigit * font_ * digits() + 0.99 * kMargin;
  }

  void title() {
    y_ += 26;
    body_ += text_element(kLeft, y_, schedule_.kind, {.size = 16, .bold = true});
    y_ += 18;
    const double peak = *std::max_element(peaks_.begin(), peaks_.end());
    const double span = timeline_.span();
    const auto bubble = [](double time, double fraction) {
      return short_text(time) + ", bubble " + percent_text(time > 0 ? fraction : 0);
    };
    body_ += text_element(kLeft, y_,
                          shape_text(schedule_) + ": makespan " +
                              bubble(makespan_, timeline_.bubble_fraction()) + "; span " +
                              bubble(span, timeline_.span_bubble_fraction()) + "; peak memory " +
                              short_text(peak) + (peak == 1 ? " micro-batch" : " micro-batches"),
                          {.size = 12});
  }

  // Swatches side by side, and what they mean.
  void legend_item(double& left, const std::vector<std::string>& fills, const std::string& text) {
    const double swatch = fills.size() > 4 ? 8 : 13;
    const double swatches = swatch * static_cast<double>(fills.size());
    const double width = swatches + (fills.empty() ? 0 : 5) + text_width(text, 11);
    if (left > kLeft && left + width > kLeft + width_ + kRight) {
      left = kLeft;
      y_ += 18;
    }
    for (std::size_t i = 0; i < fills.size(); ++i) {
      body_ += box_element({left + static_cast<double>(i) * swatch, y_ - 10, swatch, 12}, fills[i]);
    }
    body_ += text_element(left + width - text_width(text, 11), y_, text);
    left += width + 16;
  }

  void legend() {
    y_ += 22;
    double left = kLeft;
    for (const Pass pass : passes_of(schedule_)) {
      std::vector<std::string> fills;
      for (int chunk = 0; chunk < chunks_.count(); ++chunk) {
        fills.push_back(fill_of(pass, chunks_.shade(chunk)));
      }
      legend_item(left, fills, label_of(pass));
    }
    legend_item(left, {kIdle}, "idle");
    if (chunks_.count() > 1) {
      legend_item(left, {},
                  "shades: " + chunks_.name() + " 0 to " + std::to_string(chunks_.count() - 1));
    }
  }

  bool lanes_have_numbers() const { return pitch_ >= 11; }

  void lanes() {
    y_ += 30;
    const TextStyle small{.size = 10, .anchor = "end", .fill = kGray};
    if (lanes_have_numbers()) {
      body_ += text_element(kLeft + width_ + 42, y_ - 6, "peak", small);
      body_ += text_element(kLeft + width_ + 90, y_ - 6, "idle", small);
    }
    const double label = std::min(11.0, 0.9 * pitch_);
    // Where lanes are thin, every second, fifth... has its name.
    const int named = static_cast<int>(round_step(std::max(1.0, 9 / pitch_)));
    for (int rank = 0; rank < schedule_.placement.ranks; ++rank) {
      lane(rank);
      const double baseline = y_ + lane_ / 2 + 0.36 * label;
      if (rank % named == 0) {
        body_ += text_element(kLeft - 8, y_ + lane_ / 2 + 4, rank_label(rank),
                              {.size = std::max(label, 9.0), .anchor = "end"});
      }
      if (lanes_have_numbers()) {
        const TextStyle style{.size = label, .anchor = "end"};
        body_ +=
            text_element(kLeft + width_ + 42, baseline, short_text(peaks_[index(rank)]), style);
        body_ += text_element(kLeft + width_ + 90, baseline,
                              percent_text(idle_fraction(timeline_, rank)), style);
      }
      y_ += pitch_;
    }
    y_ -= pitch_ - lane_;
  }

  static std::size_t index(int rank) { return static_cast<std::size_t>(rank); }
  static std::string rank_label(int rank) { return "rank " + std::to_string(rank); }

  // Rectangles of one fill, and numbers of one ink, are grouped: the file is a third shorter.
  void lane(int rank) {
    std::map<std::string, std::string> cells, numbers;
    for (const Slot& slot : slots_[index(rank)]) {
      const double rows = static_cast<double>(slot.last - slot.first + 1);
      for (std::size_t i = slot.first; i <= slot.last; ++i) {
        const Action& action = schedule_.ranks[index(rank)][i];
        const Interval& interval = timeline_.actions[index(rank)][i];
        const auto shade = chunks_.shade(chunks_.of(action));
        const Box box{.x = x(interval.start),
                      .y = static_cast<double>(i - slot.first) * lane_ / rows,
                      .width = x(interval.end) - x(interval.start),
                      .height = lane_ / rows};
        cells[fill_of(action.pass, shade)] +=
            "<rect " + attributes(box) + "><title>" + to_text(action) + "</title></rect>\n";
        if (!number_fits(box.width)) continue;
        numbers[ink_on(action.pass, shade)] +=
            "<text x=\"" + pixels(box.x + box.width / 2) + "\" y=\"" +
            pixels(box.y + box.height / 2 + 0.36 * font_) + "\">" +
            std::to_string(action.micro_batch) + "</text>\n";
      }
    }
    body_ += "<g id=\"rank-" + std::to_string(rank) + "\" transform=\"translate(" + pixels(kLeft) +
             " " + pixels(y_) + ")\">\n" + box_element({0, 0, width_, lane_}, kIdle);
    const char* border = font_ >= kSmallestFont ? "0.8" : "0.25";
    for (const auto& [fill, rectangles] : cells) {
      body_ += "<g fill=\"" + fill + "\" stroke=\"#fff\" stroke-width=\"" + border + "\">\n" +
               rectangles + "</g>\n";
    }
    for (const auto& [ink, texts] : numbers) {
      body_ += "<g fill=\"" + std::string(ink) + "\" font-size=\"" + pixels(font_) +
               "\" text-anchor=\"middle\">\n" + texts + "</g>\n";
    }
    body_ += "</g>\n";
  }

  double time_step() const { return round_step(makespan_ * 60 / width_); }

  void time_axis() {
    const double top = y_ + 4;
    body_ += line_element(kLeft, top, kLeft + width_, top, "#444");
    body_ += text_element(kLeft - 8, top + 16, "time", {.anchor = "end", .fill = kGray});
    for (int i = 0; i * time_step() <= makespan_ * (1 + 1e-9); ++i) {
      const double at = kLeft + x(i * time_step());
      body_ += line_element(at, top, at, top + 4, "#444");
      body_ +=
          text_element(at, top + 16, short_text(i * time_step()), {.size = 10, .anchor = "middle"});
    }
    y_ = top + 20;
  }

  void memory() {
    const double peak = *std::max_element(peaks_.begin(), peaks_.end());
    const double step = round_step(peak / 4);
    y_ += 24;
    body_ += text_element(kLeft, y_, "Memory held, in micro-batches", {.size = 11, .bold = true});
    y_ += 10;
    for (const int rank : evenly_chosen(schedule_.placement.ranks, kMostPanels)) {
      panel(rank, peak, step);
      y_ += kPanel + 12;
    }
    y_ -= 12;
    time_axis();
    y_ += 8;
  }

  void panel(int rank, double peak, double step) {
    const double bottom = y_ + kPanel;
    const auto height = [&](double held) { return peak > 0 ? held / peak * kPanel : 0; };
    for (int i = 0; i * step <= peak * (1 + 1e-9) && step > 0; ++i) {
      const double level = bottom - height(i * step);
      body_ += line_element(kLeft, level, kLeft + width_, level, i == 0 ? "#444" : "#e2e2e2");
      body_ += text_element(kLeft - 6, level + 3, short_text(i * step),
                            {.size = 9, .anchor = "end", .fill = kGray});
    }
    body_ += text_element(kLeft - 30, bottom - kPanel / 2 + 4, rank_label(rank), {.anchor = "end"});
    std::string path = "M" + pixels(kLeft) + " " + pixels(bottom);
    for (const MemoryPoint& point : memory_steps(schedule_, timeline_, model_, rank)) {
      path += "H" + pixels(kLeft + x(point.time)) + "V" + pixels(bottom - height(point.held));
    }
    body_ += "<path id=\"memory-" + std::to_string(rank) + "\" d=\"" + path + "H" +
             pixels(kLeft + width_) +
             "\" fill=\"#4a6078\" fill-opacity=\"0.18\" stroke=\"#2f4358\" "
             "stroke-linejoin=\"round\"/>\n";
    body_ += text_element(kLeft + width_ + 8, bottom - height(peaks_[index(rank)]) + 8,
                          "peak " + short_text(peaks_[index(rank)]), {.size = 10});
  }

  const Schedule& schedule_;
  const Timeline& timeline_;
  MemoryModel model_;
  Chunks chunks_;
  double makespan_;
  std::vector<double> peaks_;             // per rank
  std::vector<std::vector<Slot>> slots_;  // per rank
  double width_ = 0;                      // pixels of the makespan
  double pitch_ = 0;                      // from lane to lane
  double lane_ = 0;
  double font_ = 0;
  double y_ = 0;
  std::string body_;
};

}  // namespace

std::string svg(const Schedule& schedule, const Timeline& timeline, const MemoryModel& model) {
  return Figure(schedule, timeline, model).draw();
}

}  // namespace trireme::schedules
