#include "schedules/chart_pen.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "schedules/drawing.h"

namespace trireme::schedules {
namespace {

int width(const std::string& text) { return static_cast<int>(text.size()); }

std::string repeated(const std::string& text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) result += text;
  return result;
}

bool has_pairs(const Schedule& schedule) {
  return std::any_of(schedule.ranks.begin(), schedule.ranks.end(), [](const auto& actions) {
    return std::any_of(actions.begin(), actions.end(),
                       [](const Action& action) { return action.overlaps_next; });
  });
}

LegendEntry plain_entry(const std::string& text) { return {text, width(text)}; }

class LetterPen final : public Pen {
 public:
  explicit LetterPen(const Schedule& schedule) : schedule_(schedule), chunks_(schedule) {}

  std::string idle(int columns) const override { return repeated(".", columns); }

  std::string cell(std::span<const Action> together, const CellSize& size) const override {
    const Action& first = together.front();
    if (together.size() == 1) {
      return fitting(letters(first) + number(first), letters(first).substr(0, 1), size);
    }
    const Action& last = together.back();
    const std::string left = letters(first).substr(0, 1), right = letters(last).substr(0, 1);
    const std::string both = left + number(first) + "|" + right + number(last);
    const bool bare = width(both) > size.room;
    return fitting(bare ? left + "|" + right : both, "&", size);
  }

  std::vector<LegendEntry> legend() const override {
    std::vector<LegendEntry> entries;
    for (const Pass pass : passes_of(schedule_)) {
      // Where there is no room for both letters.
      entries.push_back(plain_entry(pass == Pass::backward ? "BW or B backward" : label_of(pass)));
    }
    if (has_pairs(schedule_)) entries.push_back(plain_entry("F|B or & both at once"));
    entries.push_back(plain_entry(". idle"));
    if (chunks_.count() == 2)
      entries.push_back(plain_entry("lower case: " + chunks_.name() + " 1"));
    if (chunks_.count() > 2) entries.push_back(plain_entry("lower case: odd chunks"));
    return entries;
  }

 private:
  static std::string number(const Action& action) { return std::to_string(action.micro_batch); }

  std::string letters(const Action& action) const {
    std::string text = letter_of(action.pass);
    if (chunks_.of(action) % 2 == 0) return text;
    for (char& letter : text) letter = static_cast<char>(letter - 'A' + 'a');
    return text;
  }

  static std::string fitting(const std::string& text, const std::string& filler,
                             const CellSize& size) {
    return width(text) <= size.room ? left_aligned(text, size.columns)
                                    : repeated(filler, size.columns);
  }

  const Schedule& schedule_;
  Chunks chunks_;
};

class ColorPen final : public Pen {
 public:
  explicit ColorPen(const Schedule& schedule) : schedule_(schedule), chunks_(schedule) {}

  std::string idle(int columns) const override {
    return escape({.front = kGray}) + repeated(".", columns) + kPlain;
  }

  std::string cell(std::span<const Action> together, const CellSize& size) const override {
    const Action& first = together.front();
    if (together.size() > 1) return pair(first, together.back(), size);
    const std::string number = std::to_string(first.micro_batch);
    return paint(color(first), centered(width(number) <= size.room ? number : "", size.columns));
  }

  std::vector<LegendEntry> legend() const override {
    std::vector<LegendEntry> entries;
    const auto add = [&](const std::string& sign, int columns, const std::string& meaning) {
      entries.push_back({sign + " " + meaning, columns + 1 + width(meaning)});
    };
    for (const Pass pass : passes_of(schedule_)) {
      std::string shades;
      for (int chunk = 0; chunk < chunks_.count(); ++chunk)
        shades += paint(color(pass, chunk), "  ");
      add(shades, 2 * chunks_.count(), label_of(pass));
    }
    if (has_pairs(schedule_)) {
      add(halves(color(Pass::forward, 0), color(Pass::backward, 0), 2), 2, "both at once");
    }
    add(idle(1), 1, "idle");
    if (chunks_.count() > 1) {
      entries.push_back(plain_entry("shades: " + chunks_.name() + " 0 to " +
                                    std::to_string(chunks_.count() - 1)));
    }
    return entries;
  }

 private:
  static constexpr int kShades = 4;
  static constexpr double kSingle = 1.0 / 3;
  static constexpr int kBlack = 16, kWhite = 231, kGray = 245, kNoColor = -1;
  static constexpr const char* kPlain = "\033[0m";

  // From light to dark.
  static constexpr std::array<std::array<int, kShades>, 5> kPalette = {
      {{153, 110, 67, 25},      // F
       {151, 115, 72, 29},      // B
       {229, 221, 178, 94},     // W
       {216, 209, 166, 124},    // BW
       {252, 248, 244, 240}}};  // R

  struct Colors {
    int front = kBlack;
    int back = kNoColor;
  };

  static std::string escape(const Colors& colors) {
    const std::string back = colors.back == kNoColor ? "" : ";48;5;" + std::to_string(colors.back);
    return "\033[38;5;" + std::to_string(colors.front) + back + "m";
  }

  static std::string paint(int color, const std::string& text) {
    const bool dark = std::any_of(kPalette.begin(), kPalette.end(),
                                  [&](const auto& shades) { return shades.back() == color; });
    return escape({.front = dark ? kWhite : kBlack, .back = color}) + text + kPlain;
  }

  static std::string halves(int upper, int lower, int columns) {
    return escape({.front = upper, .back = lower}) + repeated("▀", columns) + kPlain;
  }

  int color(const Action& action) const { return color(action.pass, chunks_.of(action)); }

  int color(Pass pass, int chunk) const {
    const long shade = std::lround(chunks_.shade(chunk).value_or(kSingle) * (kShades - 1));
    return kPalette[static_cast<std::size_t>(pass)][static_cast<std::size_t>(shade)];
  }

  // One above the other, the upper one's number on the left, the lower one's on the right.
  std::string pair(const Action& first, const Action& last, const CellSize& size) const {
    const int upper = color(first), lower = color(last);
    const std::string left = std::to_string(first.micro_batch);
    const std::string right = std::to_string(last.micro_batch);
    const int free = size.columns - width(left) - width(right);
    if (width(left) + width(right) >= size.room) return halves(upper, lower, size.columns);
    const int margin = free / 4;
    return halves(upper, lower, margin) + paint(upper, left) +
           halves(upper, lower, free - 2 * margin) + paint(lower, right) +
           halves(upper, lower, margin);
  }

  const Schedule& schedule_;
  Chunks chunks_;
};

}  // namespace

std::unique_ptr<Pen> letter_pen(const Schedule& schedule) {
  return std::make_unique<LetterPen>(schedule);
}

std::unique_ptr<Pen> color_pen(const Schedule& schedule) {
  return std::make_unique<ColorPen>(schedule);
}

std::string left_aligned(std::string text, int columns) {
  text.resize(std::max(text.size(), static_cast<std::size_t>(columns)), ' ');
  return text;
}

std::string centered(const std::string& text, int columns) {
  const int before = std::max(columns - width(text), 0) / 2;
  return left_aligned(repeated(" ", before) + text, columns);
}

}  // namespace trireme::schedules
