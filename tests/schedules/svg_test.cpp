#include "schedules/svg.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <regex>

#include "schedules/drawing.h"
#include "tests/schedules/drawing_examples.h"

namespace trireme::schedules {
namespace {

// What a figure shows, read back from it.
struct Cell {
  int rank = 0;
  double x = 0, y = 0, width = 0, height = 0;
  std::string fill;
  std::string action;
};

struct Number {
  int rank = 0;
  double x = 0, y = 0, size = 0;
  std::string text;
};

struct Figure {
  std::vector<Cell> cells;
  std::vector<Cell> lanes;
  std::vector<Number> numbers;

  explicit Figure(const std::string& text) {
    static const std::regex kRank("<g id=\"rank-(\\d+)\".*"), kFill("<g fill=\"([^\"]*)\".*"),
        kSize(".*font-size=\"([\\d.]+)\".*"),
        kBox(
            "<rect x=\"(.*?)\" y=\"(.*?)\" width=\"(.*?)\" height=\"(.*?)\""
            "(?: fill=\"(.*?)\"/)?>(?:<title>(.*?)</title></rect>)?"),
        kNumber("<text x=\"([^\"]*)\" y=\"([^\"]*)\">(\\d+)</text>");
    int rank = -1;
    double size = 0;
    std::string fill;
    for (const std::string& line : lines_of(text)) {
      std::smatch m;
      if (std::regex_match(line, m, kRank)) rank = std::stoi(m[1]);
      if (std::regex_match(line, m, kFill)) fill = m[1];
      if (std::regex_match(line, m, kSize)) size = std::stod(m[1]);
      if (std::regex_match(line, m, kNumber)) {
        numbers.push_back({rank, std::stod(m[1]), std::stod(m[2]), size, m[3]});
      }
      if (rank < 0 || !std::regex_match(line, m, kBox)) continue;
      Cell cell{rank, std::stod(m[1]), std::stod(m[2]), std::stod(m[3]), std::stod(m[4]), fill,
                m[6]};
      if (m[5].matched) cell.fill = m[5];
      (m[6].matched ? cells : lanes).push_back(cell);
    }
  }

  const Cell* at(int rank, double x, double y) const {
    const auto found = std::find_if(cells.begin(), cells.end(), [&](const Cell& cell) {
      return cell.rank == rank && x > cell.x && x < cell.x + cell.width && y > cell.y &&
             y < cell.y + cell.height;
    });
    return found == cells.end() ? nullptr : &*found;
  }
};

// Every tag is closed, in order, and nothing stands open that should not.
void expect_well_formed(const std::string& text) {
  std::vector<std::string> open;
  std::size_t roots = 0;
  for (std::size_t at = text.find('<'); at != std::string::npos; at = text.find('<', at + 1)) {
    const std::size_t end = text.find('>', at);
    ASSERT_NE(end, std::string::npos);
    const std::string tag = text.substr(at + 1, end - at - 1);
    ASSERT_EQ(tag.find('<'), std::string::npos) << tag;
    ASSERT_EQ(std::count(tag.begin(), tag.end(), '"') % 2, 0) << tag;
    const std::string name = tag.substr(0, tag.find_first_of(" /", 1));
    if (tag.front() == '?') continue;
    if (tag.front() == '/') {
      ASSERT_FALSE(open.empty());
      ASSERT_EQ("/" + open.back(), tag);
      open.pop_back();
    } else if (tag.back() != '/') {
      if (open.empty()) ++roots;
      open.push_back(name);
    }
  }
  EXPECT_TRUE(open.empty());
  EXPECT_EQ(roots, 1u);
  static const std::regex kBareAmpersand("&(?!(amp|lt|gt|quot);)");
  EXPECT_FALSE(std::regex_search(text, kBareAmpersand));
}

TEST(Svg, IsWellFormedAndNeedsNothingElse) {
  for (const Example& e : examples()) {
    SCOPED_TRACE(e.name);
    const std::string text = svg(e.schedule, e.timeline, {});
    expect_well_formed(text);
    EXPECT_NE(text.find("viewBox=\"0 0 "), std::string::npos);
    EXPECT_EQ(text.find("http", text.find("http") + 1), std::string::npos);  // the namespace only
    EXPECT_EQ(text.find("nan"), std::string::npos);
    static const std::regex kLongNumber("=\"-?\\d*\\.\\d{3,}\"");
    EXPECT_FALSE(std::regex_search(text, kLongNumber));
  }
}

TEST(Svg, ShowsEveryActionOnceWhereTheTimelinePutsIt) {
  for (const Example& e : examples()) {
    SCOPED_TRACE(e.name);
    const Figure figure(svg(e.schedule, e.timeline, {}));
    ASSERT_EQ(figure.lanes.size(), e.schedule.ranks.size());
    const double scale = figure.lanes[0].width / e.timeline.makespan();
    std::map<std::pair<int, std::string>, Cell> cells;
    for (const Cell& cell : figure.cells) cells[{cell.rank, cell.action}] = cell;
    ASSERT_EQ(figure.cells.size(), all_actions(e.schedule).size());
    for (std::size_t rank = 0; rank < e.schedule.ranks.size(); ++rank) {
      for (std::size_t i = 0; i < e.schedule.ranks[rank].size(); ++i) {
        const Interval& interval = e.timeline.actions[rank][i];
        const std::pair key{static_cast<int>(rank), to_text(e.schedule.ranks[rank][i])};
        ASSERT_TRUE(cells.contains(key)) << key.second;
        EXPECT_NEAR(cells[key].x, interval.start * scale, 0.01);
        EXPECT_NEAR(cells[key].width, (interval.end - interval.start) * scale, 0.01);
      }
    }
  }
}

TEST(Svg, LeavesIdleTimeHatched) {
  const Example e = example("gpipe", gpipe({.ranks = 4, .micro_batches = 8}), {1, 1, 1, 1}, 0);
  const Figure figure(svg(e.schedule, e.timeline, {}));
  for (const Cell& lane : figure.lanes) {
    EXPECT_EQ(lane.fill, "url(#idle)");
    double covered = 0;
    for (const Cell& cell : figure.cells) covered += cell.rank == lane.rank ? cell.width : 0;
    EXPECT_NEAR(covered / lane.width, 24.0 / 33, 1e-4);  // m (F + B + W) of m + p - 1
  }
}

TEST(Svg, WritesTheMicroBatchIntoItsCell) {
  for (const Example& e : examples()) {
    SCOPED_TRACE(e.name);
    const Figure figure(svg(e.schedule, e.timeline, {}));
    EXPECT_EQ(figure.numbers.size(), figure.cells.size());
    std::set<std::pair<int, std::string>> seen;
    for (const Number& number : figure.numbers) {
      // Half a digit above the baseline.
      const Cell* cell = figure.at(number.rank, number.x, number.y - 0.35 * number.size);
      ASSERT_NE(cell, nullptr);
      EXPECT_TRUE(seen.emplace(number.rank, cell->action).second) << cell->action;
      EXPECT_EQ(cell->action.substr(cell->action.find_last_not_of("0123456789") + 1), number.text);
    }
  }
}

TEST(Svg, LeavesOutNumbersThatDoNotFit) {
  const Example e = example("1f1b", one_f_one_b({.ranks = 16, .micro_batches = 128}));
  const Figure figure(svg(e.schedule, e.timeline, {}));
  EXPECT_EQ(figure.cells.size(), 2u * 16 * 128);
  EXPECT_LT(figure.numbers.size(), figure.cells.size());
  for (const Number& number : figure.numbers) {
    const Cell* cell = figure.at(number.rank, number.x, number.y - 0.35 * number.size);
    ASSERT_NE(cell, nullptr);
    EXPECT_LT(0.6 * number.size * static_cast<double>(number.text.size()), cell->width);
  }
}

TEST(Svg, GivesEachPassOfEachChunkAColor) {
  for (const Example& e : examples()) {
    SCOPED_TRACE(e.name);
    std::map<std::string, Action> parsed;
    for (const auto& actions : e.schedule.ranks) {
      for (const Action& action : actions) parsed[to_text(action)] = action;
    }
    const Chunks chunks(e.schedule);
    std::map<std::pair<Pass, int>, std::string> fills;
    for (const Cell& cell : Figure(svg(e.schedule, e.timeline, {})).cells) {
      const Action& action = parsed[cell.action];
      const auto known = fills.emplace(std::pair(action.pass, chunks.of(action)), cell.fill).first;
      EXPECT_EQ(known->second, cell.fill);
    }
    std::set<std::string> distinct;
    for (const auto& [key, fill] : fills) distinct.insert(fill);
    EXPECT_EQ(distinct.size(), fills.size());
    EXPECT_EQ(fills.size(),
              passes_of(e.schedule).size() * static_cast<std::size_t>(chunks.count()));
  }
}

TEST(Svg, StacksOverlappedPairs) {
  const Example e = example("dual_pipe", dual_pipe({.ranks = 4, .micro_batches = 8}));
  const Figure figure(svg(e.schedule, e.timeline, {}));
  std::map<std::pair<int, std::string>, Cell> cells;
  for (const Cell& cell : figure.cells) cells[{cell.rank, cell.action}] = cell;
  int pairs = 0;
  for (std::size_t rank = 0; rank < e.schedule.ranks.size(); ++rank) {
    const auto& actions = e.schedule.ranks[rank];
    for (std::size_t i = 0; i < actions.size(); ++i) {
      const Cell& upper = cells[{static_cast<int>(rank), to_text(actions[i])}];
      const bool second = i > 0 && actions[i - 1].overlaps_next;
      EXPECT_EQ(upper.y > 0, second);
      EXPECT_NEAR(upper.height * (second || actions[i].overlaps_next ? 2 : 1),
                  figure.lanes[rank].height, 0.02);
      if (!actions[i].overlaps_next) continue;
      ++pairs;
      const Cell& lower = cells[{static_cast<int>(rank), to_text(actions[i + 1])}];
      EXPECT_EQ(lower.x, upper.x);
      EXPECT_NEAR(lower.y, upper.height, 0.01);
    }
  }
  EXPECT_GT(pairs, 0);
}

TEST(Svg, SaysWhatItShows) {
  const Example e = example("gpipe", gpipe({.ranks = 4, .micro_batches = 8}), {1, 1, 1, 1}, 0);
  const std::string text = svg(e.schedule, e.timeline, {});
  for (const char* part : {">gpipe<", "p = 4, m = 8, v = 1", "makespan 33", "bubble 27.3%",
                           "peak memory 8 micro-batches", "F forward", "BW backward", "idle"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(text.find("recompute"), std::string::npos);
}

TEST(Svg, DrawsTheMemoryOfTheFirstAndTheLastRank) {
  const Example e = example("1f1b", one_f_one_b({.ranks = 16, .micro_batches = 20}));
  const std::string text = svg(e.schedule, e.timeline, {});
  double unit = 0;  // pixels of a micro-batch: the same for all ranks
  for (const int rank : {0, 15}) {
    SCOPED_TRACE(rank);
    const std::regex curve("id=\"memory-" + std::to_string(rank) +
                           "\" d=\"M[^ ]* ([\\d.]+)([^\"]*)\"");
    std::smatch m;
    ASSERT_TRUE(std::regex_search(text, m, curve));
    const double zero = std::stod(m[1]);
    std::vector<double> heights;
    const std::string path = m[2];
    const std::regex step("H[^V]*V([\\d.]+)");
    for (std::sregex_iterator it(path.begin(), path.end(), step), end; it != end; ++it) {
      heights.push_back(zero - std::stod((*it)[1]));
    }
    const double highest = *std::max_element(heights.begin(), heights.end());
    const double peak = peak_memory(e.schedule, {})[static_cast<std::size_t>(rank)];
    if (unit == 0) unit = highest / peak;
    EXPECT_NEAR(highest / unit, peak, 0.01);
    EXPECT_NEAR(heights.back(), 0, 0.01);
    EXPECT_NE(text.find(">peak " + short_text(peak) + "<"), std::string::npos);
  }
}

TEST(Svg, EscapesTheKind) {
  Example e = example("gpipe", gpipe({.ranks = 2, .micro_batches = 2}));
  e.schedule.kind = "a <b> & \"c\"";
  const std::string text = svg(e.schedule, e.timeline, {});
  expect_well_formed(text);
  EXPECT_NE(text.find("a &lt;b&gt; &amp; &quot;c&quot;"), std::string::npos);
}

}  // namespace
}  // namespace trireme::schedules
