#include "schedules/chart.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <regex>

#include "schedules/drawing.h"
#include "tests/schedules/drawing_examples.h"

namespace trireme::schedules {
namespace {

// What is left of a colored text without its colors.
std::string without_colors(const std::string& text) {
  static const std::regex kEscape("\033\\[[0-9;]*m"), kHalf("▀");
  return std::regex_replace(std::regex_replace(text, kEscape, ""), kHalf, "=");
}

struct Lanes {
  int columns = 0;                   // of the makespan
  std::vector<std::string> letters;  // per rank
};

// The part of each rank's line that shows time: it begins below the 0 of the ruler.
Lanes lanes_of(const std::string& text) {
  const auto lines = lines_of(text);
  const std::size_t begin = lines[0].find('0'), numbers = 16;
  Lanes lanes{.columns = static_cast<int>(lines[0].size() - numbers - begin), .letters = {}};
  for (const std::string& line : lines) {
    if (line.rfind("rank ", 0) != 0) continue;
    lanes.letters.push_back(line.substr(begin, static_cast<std::size_t>(lanes.columns)));
  }
  return lanes;
}

// What runs on a rank in the middle of a column.
std::vector<Action> running(const Example& e, std::size_t rank, std::size_t column, int columns) {
  const double time = (static_cast<double>(column) + 0.5) / columns * e.timeline.makespan();
  std::vector<Action> actions;
  for (std::size_t i = 0; i < e.schedule.ranks[rank].size(); ++i) {
    const Interval& interval = e.timeline.actions[rank][i];
    if (interval.start < time && time < interval.end) actions.push_back(e.schedule.ranks[rank][i]);
  }
  return actions;
}

// Times that are whole numbers of columns, so that a column shows one thing.
std::vector<Example> whole_examples() {
  return {example("gpipe", gpipe({.ranks = 4, .micro_batches = 8}), {1, 1, 2, 1}, 1),
          example("zb_h1", zb_h1({.ranks = 3, .micro_batches = 12}), {2, 2, 1, 1}, 1),
          example("interleaved_zb", interleaved_zb({2, 4, 2}), {2, 2, 2, 1}, 0),
          example("zb_v", zb_v({4, 8, 2}), {4, 4, 2, 1}, 1),
          example("dual_pipe", dual_pipe({.ranks = 4, .micro_batches = 12}), {1, 1, 1, 1}, 0)};
}

TEST(Chart, IsReadableInALog) {
  const Example e = example("gpipe", gpipe({.ranks = 2, .micro_batches = 2}), {}, 0);
  EXPECT_EQ(chart(e.schedule, e.timeline, {.columns = 51}),
            "time    0              5               peak    idle\n"
            "rank 0  F0 F1 .........BW0   BW1          2   33.3%\n"
            "rank 1  ...F0 F1 BW0   BW1   ......       2   33.3%\n"
            "F forward   BW or B backward   . idle\n");
}

TEST(Chart, HasALineOfTheSameWidthForEachRank) {
  for (const Example& e : examples()) {
    for (const int columns : {60, 80, 133, 240}) {
      for (const bool color : {false, true}) {
        SCOPED_TRACE(testing::Message() << e.name << " " << columns << " " << color);
        const std::string text =
            without_colors(chart(e.schedule, e.timeline, {.columns = columns, .color = color}));
        const auto lines = lines_of(text);
        ASSERT_GE(lines.size(), e.schedule.ranks.size() + 2);
        for (std::size_t i = 0; i < lines.size(); ++i) {
          EXPECT_LE(lines[i].size(), static_cast<std::size_t>(columns)) << lines[i];
          const bool lane = i >= 1 && i <= e.schedule.ranks.size();
          EXPECT_EQ(lines[i].rfind("rank " + std::to_string(i - 1) + " ", 0) == 0, lane);
          EXPECT_TRUE(!lane || lines[i].size() == lines[0].size()) << lines[i];
        }
      }
    }
  }
}

TEST(Chart, HasEscapeCodesOnlyIfColored) {
  const Example e = example("zb_v", zb_v({4, 8, 2}));
  EXPECT_EQ(chart(e.schedule, e.timeline, {}).find('\033'), std::string::npos);
  for (const std::string& line : lines_of(chart(e.schedule, e.timeline, {.color = true}))) {
    if (line.find('\033') == std::string::npos) continue;
    EXPECT_GT(line.rfind("\033[0m"), line.rfind("48;5;")) << "a color runs on";
  }
}

TEST(Chart, LettersAndNumbersStandWhereTheirActionsRun) {
  for (const Example& e : whole_examples()) {
    SCOPED_TRACE(e.name);
    const Lanes lanes = lanes_of(chart(e.schedule, e.timeline, {.columns = 400}));
    const Chunks chunks(e.schedule);
    std::size_t numbers = 0;
    for (std::size_t rank = 0; rank < lanes.letters.size(); ++rank) {
      const std::string& lane = lanes.letters[rank];
      for (std::size_t at = 0; at < lane.size(); ++at) {
        EXPECT_EQ(lane[at] == '.', running(e, rank, at, lanes.columns).empty()) << at << lane;
      }
      static const std::regex kCell("([FBWfbw]+)(\\d+)");
      for (std::sregex_iterator it(lane.begin(), lane.end(), kCell), end; it != end; ++it) {
        const auto at = static_cast<std::size_t>(it->position());
        const auto actions = running(e, rank, at, lanes.columns);
        EXPECT_TRUE(std::any_of(
            actions.begin(), actions.end(),
            [&](const Action& action) {
              const bool upper = std::isupper(static_cast<unsigned char>((*it)[1].str()[0])) != 0;
              return action.micro_batch == std::stoi((*it)[2]) &&
                     upper == (chunks.of(action) % 2 == 0) &&
                     std::toupper((*it)[1].str()[0]) == letter_of(action.pass)[0];
            }))
            << it->str() << " at " << at;
        ++numbers;
      }
    }
    EXPECT_EQ(numbers, all_actions(e.schedule).size());
  }
}

// One column of a colored lane.
struct Painted {
  std::string background;
  std::string character;
};

std::vector<Painted> painted(const std::string& line) {
  std::vector<Painted> columns;
  static const std::regex kPiece("\033\\[([0-9;]*)m|▀|[ -~]"), kBackground(".*48;5;(\\d+)");
  std::string background;
  for (std::sregex_iterator it(line.begin(), line.end(), kPiece), end; it != end; ++it) {
    const std::string piece = it->str(), codes = (*it)[1];
    std::smatch m;
    if (piece[0] != '\033') {
      columns.push_back({background, piece});
    } else {
      background = std::regex_match(codes, m, kBackground) ? m[1].str() : "";
    }
  }
  return columns;
}

TEST(Chart, ColorsAndNumbersStandWhereTheirActionsRun) {
  for (const Example& e : whole_examples()) {
    SCOPED_TRACE(e.name);
    const std::string text = chart(e.schedule, e.timeline, {.columns = 400, .color = true});
    const int columns = lanes_of(without_colors(text)).columns;
    const Chunks chunks(e.schedule);
    std::map<std::pair<Pass, int>, std::string> colors;
    std::set<std::string> distinct;
    const auto lines = lines_of(text);
    const std::size_t begin = lines[0].find('0');
    for (std::size_t rank = 0; rank < e.schedule.ranks.size(); ++rank) {
      const auto lane = painted(lines[rank + 1]);
      for (std::size_t at = 0; at < static_cast<std::size_t>(columns); ++at) {
        const auto& [background, character] = lane[begin + at];
        const auto actions = running(e, rank, at, columns);
        EXPECT_EQ(background.empty(), actions.empty()) << at;
        if (actions.size() != 1) continue;
        const auto key = std::pair(actions[0].pass, chunks.of(actions[0]));
        EXPECT_EQ(colors.emplace(key, background).first->second, background);
        distinct.insert(background);
        const bool digit = std::isdigit(static_cast<unsigned char>(character[0])) != 0;
        const std::string number = std::to_string(actions[0].micro_batch);
        EXPECT_TRUE(!digit || number.find(character) != std::string::npos) << at;
      }
    }
    EXPECT_EQ(distinct.size(), colors.size());
  }
}

TEST(Chart, ShowsBothOfAnOverlappedPair) {
  const Example e = example("dual_pipe", dual_pipe({.ranks = 4, .micro_batches = 8}), {}, 0);
  const std::string letters = chart(e.schedule, e.timeline, {.columns = 150});
  EXPECT_NE(letters.find("F3|b5"), std::string::npos) << letters;
  EXPECT_NE(chart(e.schedule, e.timeline, {.columns = 50}).find('&'), std::string::npos);
  EXPECT_NE(chart(e.schedule, e.timeline, {.color = true}).find("▀"), std::string::npos);
}

TEST(Chart, OfManyRanksShowsSome) {
  const Example e = example("1f1b", one_f_one_b({.ranks = 256, .micro_batches = 256}));
  const std::string text = chart(e.schedule, e.timeline, {.columns = 80});
  EXPECT_NE(text.find("64 of 256 ranks shown"), std::string::npos);
  const Lanes lanes = lanes_of(text);
  EXPECT_EQ(lanes.letters.size(), 64u);
  for (const char* label : {"\nrank 0 ", "\nrank 255 "}) {
    EXPECT_NE(text.find(label), std::string::npos);
  }
}

TEST(Chart, OfManyShortActionsIsNotIdle) {
  const PipelineShape shape{.ranks = 1, .micro_batches = 5000};
  const Example phases = example("gpipe", gpipe(shape));
  const Lanes lanes = lanes_of(chart(phases.schedule, phases.timeline, {.columns = 60}));
  EXPECT_EQ(lanes.letters[0].find('.'), std::string::npos);
  EXPECT_EQ(lanes.letters[0].find_last_of('F') + 1, lanes.letters[0].find_first_of('B'));
  const Example mixed = example("zb_h1", zb_h1(shape), {1, 1, 1, 1});  // a third of a column each
  EXPECT_EQ(lanes_of(chart(mixed.schedule, mixed.timeline, {.columns = 60})).letters[0].find('.'),
            std::string::npos);
}

TEST(Chart, GivesPeakMemoryAndIdleTimeOfEachRank) {
  const Example e = example("1f1b", one_f_one_b({.ranks = 4, .micro_batches = 8}), {}, 0);
  const auto lines = lines_of(chart(e.schedule, e.timeline, {}));
  for (std::size_t rank = 0; rank < 4; ++rank) {
    std::istringstream numbers(lines[rank + 1].substr(lines[rank + 1].size() - 16));
    int peak = 0;
    std::string idle;
    numbers >> peak >> idle;
    EXPECT_EQ(peak, 4 - static_cast<int>(rank));
    EXPECT_EQ(idle, "27.3%");  // (p - 1) / (m + p - 1)
  }
}

}  // namespace
}  // namespace trireme::schedules
