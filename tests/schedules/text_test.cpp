#include "schedules/text.h"

#include <gtest/gtest.h>

#include "tests/schedules/error_of.h"
#include "tests/schedules/generators.h"
#include "tests/schedules/random_schedule.h"

namespace trireme::schedules {
namespace {

const std::string kForm =
    " is not an action; an action is STAGE PASS MICRO-BATCH such as 3F12, with the pass F, B, W, "
    "BW or R; a pair is [3F12+4BW9]";

// Lines 1 to 6 of a file that is right.
const std::vector<std::string> kLines = {
    "schedule: my-own", "placement: loop",           "stages: 2",
    "micro-batches: 2", "rank 0: 0F0 0F1 0BW0 0BW1", "rank 1: 1F0 1BW0 1F1 1BW1"};

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

// The file with one line replaced.
std::string with_line(std::size_t number, const std::string& line) {
  auto lines = kLines;
  lines[number - 1] = line;
  return joined(lines);
}

std::string complaint(const std::string& text) {
  return error_of([&] { parse_schedule(text, "own.txt"); });
}

void expect_same(const Schedule& read, const Schedule& meant) {
  EXPECT_EQ(read.kind, meant.kind);
  EXPECT_EQ(read.placement.kind, meant.placement.kind);
  EXPECT_EQ(read.placement.ranks, meant.placement.ranks);
  EXPECT_EQ(read.placement.stages, meant.placement.stages);
  EXPECT_EQ(read.placement.rank_of, meant.placement.rank_of);
  EXPECT_EQ(read.micro_batches, meant.micro_batches);
  EXPECT_EQ(read.ranks, meant.ranks);
}

TEST(Text, WritesActionsAndPairs) {
  const std::vector<Action> actions = {
      {.pass = Pass::forward, .stage = 3, .micro_batch = 12},
      {.pass = Pass::forward, .overlaps_next = true, .stage = 3, .micro_batch = 13},
      {.pass = Pass::backward, .stage = 4, .micro_batch = 9},
      {.pass = Pass::recompute, .stage = 0, .micro_batch = 0},
      {.pass = Pass::backward_input, .stage = 0, .micro_batch = 0},
      {.pass = Pass::backward_weight, .stage = 0, .micro_batch = 0}};
  EXPECT_EQ(rank_text(actions), "3F12 [3F13+4BW9] 0R0 0B0 0W0");
  EXPECT_EQ(rank_text({}), "");
}

TEST(Text, ReadsActionsWithAnySpaces) {
  EXPECT_EQ(rank_text(parse_rank("  3F12\t[3F13+4BW9]   0R0 0B0\r", "")),
            "3F12 [3F13+4BW9] 0R0 0B0");
  EXPECT_TRUE(parse_rank(" \t\r", "").empty());
}

TEST(Text, NamesTheWordThatIsNoAction) {
  for (const char* word : {"F12", "3F", "3X12", "3f12", "3F12x", "-3F12", "3F-1", "3 F12", "3FB12",
                           "[3F12+4BW9", "3F12+4BW9", "[3F12]", "[3F12+4BW9+5F1]", "[+]",
                           "99999999999F0", "0F99999999999", ":", "+3F1"}) {
    const std::string first = std::string(word).substr(0, std::string(word).find(' '));
    EXPECT_EQ(error_of([&] { parse_rank("0F0 " + std::string(word), "own.txt:7: "); }),
              "own.txt:7: \"" + first + "\"" + kForm);
  }
}

TEST(Text, WritesAndReadsPlacements) {
  for (const Placement& placement :
       {Placement::loop(3, 2), Placement::v(3, 3), Placement::bidirectional(4),
        Placement::custom({0, 1, 2, 2, 1, 0, 0})}) {
    const std::string text = placement_text(placement);
    const Placement read = parse_placement(text, placement.ranks, placement.stages, "");
    EXPECT_EQ(read.kind, placement.kind) << text;
    EXPECT_EQ(read.rank_of, placement.rank_of) << text;
    EXPECT_EQ(read.ranks, placement.ranks) << text;
    EXPECT_EQ(read.stages, placement.stages) << text;
  }
  EXPECT_EQ(placement_text(Placement::custom({0, 1, 1})), "0 1 1");
}

TEST(Text, RefusesPlacementsThatDoNotFit) {
  const auto refusal = [](const std::string& text, int ranks, int stages) {
    return error_of([&] { parse_placement(text, ranks, stages, "own.txt:2: "); });
  };
  EXPECT_EQ(
      refusal("loop", 2, 5),
      "own.txt:2: placement loop of 5 stages on 2 ranks: the stages must be a multiple of the "
      "ranks");
  EXPECT_EQ(refusal("v", 4, 6),
            "own.txt:2: placement v of 6 stages on 4 ranks: the stages must be a multiple of the "
            "ranks");
  EXPECT_EQ(refusal("bidirectional", 2, 4),
            "own.txt:2: placement bidirectional of 4 stages on 2 ranks: the stages must be as many "
            "as the ranks");
  const std::string rule =
      "own.txt:2: placement must be loop, v, bidirectional, or a rank from 0 to 1 for each of the "
      "3 "
      "stages; got \"";
  for (const char* text : {"", "spiral", "0 1", "0 1 2", "0 1 1 0", "0 -1 1", "loop v", "0 1 x"}) {
    EXPECT_EQ(refusal(text, 2, 3), rule + text + "\"");
  }
  for (const int missing : {0, 1}) {
    EXPECT_EQ(refusal(missing == 0 ? "1 1 1" : "0 0 0", 2, 3),
              "own.txt:2: the placement gives rank " + std::to_string(missing) +
                  " no stage; every rank from 0 to 1 needs one");
  }
}

TEST(Text, WritesAWholeSchedule) {
  Schedule schedule = one_f_one_b({2, 2, 1, 0});
  schedule.kind = "my-own";
  EXPECT_EQ(schedule_text(schedule), joined(kLines));
}

TEST(Text, ReadsBackWhatItWrites) {
  for (const Generator& generator : generators()) {
    for (const PipelineShape& shape : shapes_of(generator, 5, 12)) {
      SCOPED_TRACE(generator.name + ", " + text_of(shape));
      const Schedule schedule = generator.generate(shape);
      expect_same(parse_schedule(schedule_text(schedule), "test"), schedule);
    }
  }
  std::mt19937 dice(2);
  for (int i = 0; i < 300; ++i) {
    const Schedule schedule = random_schedule(dice);
    SCOPED_TRACE(schedule_text(schedule));
    expect_same(parse_schedule(schedule_text(schedule), "test"), schedule);
  }
}

TEST(Text, SkipsCommentsAndBlankLinesInAnyOrder) {
  const Schedule expected = parse_schedule(joined(kLines), "test");
  std::string backwards = "# a comment: with a colon\n\n";
  for (std::size_t i = kLines.size(); i-- > 0;) {
    backwards += "   # rank 7: 0F0\n" + kLines[i] + "\r\n\t\n";
  }
  expect_same(parse_schedule(backwards, "test"), expected);
  expect_same(parse_schedule(with_line(5, "  rank   0 :0F0 0F1 0BW0 0BW1"), "test"), expected);
  std::string without_last_newline = joined(kLines);
  without_last_newline.pop_back();
  expect_same(parse_schedule(without_last_newline, "test"), expected);
}

TEST(Text, GivesANamelessScheduleAName) {
  EXPECT_EQ(parse_schedule(with_line(1, "schedule:"), "test").kind, "file");
}

TEST(Text, NamesFileAndLineOfEveryMistake) {
  EXPECT_EQ(complaint(with_line(3, "stages 2")),
            "own.txt:3: a line is KEY: VALUE, got \"stages 2\"\n"
            "own.txt: there is no line \"stages: ...\"");
  EXPECT_EQ(complaint(with_line(3, "stages: two")),
            "own.txt:3: stages must be a whole number from 1, got \" two\"");
  EXPECT_EQ(complaint(with_line(4, "micro-batches: 0")),
            "own.txt:4: micro-batches must be a whole number from 1, got \" 0\"");
  EXPECT_EQ(
      complaint(with_line(2, "placement: bidirectional 2")),
      "own.txt:2: placement must be loop, v, bidirectional, or a rank from 0 to 1 for each of "
      "the 2 stages; got \" bidirectional 2\"");
  EXPECT_EQ(complaint(with_line(6, "rank 1: 1F0 1BW0 1G1 1BW1")), "own.txt:6: \"1G1\"" + kForm);
  EXPECT_EQ(complaint(with_line(2, "schedule: again")),
            "own.txt:2: \"schedule\" is there a second time\n"
            "own.txt: there is no line \"placement: ...\"");
  EXPECT_EQ(complaint(joined(kLines) + "colour: red\n"),
            "own.txt:7: unknown key \"colour\"; the keys are schedule, placement, stages, "
            "micro-batches, and rank 0, rank 1, ... without a gap");
}

TEST(Text, WantsRanksWithoutAGap) {
  EXPECT_EQ(complaint(with_line(6, "rank 2: 1F0 1BW0 1F1 1BW1")),
            "own.txt:6: unknown key \"rank 2\"; the keys are schedule, placement, stages, "
            "micro-batches, and rank 0, rank 1, ... without a gap");
  expect_says(complaint("schedule: x\nplacement: loop\nstages: 1\nmicro-batches: 1\n"),
              "own.txt: there is no line \"rank 0: ...\"");
}

TEST(Text, SaysEverythingThatIsWrongAtOnce) {
  EXPECT_EQ(
      complaint("placement: spiral\nstages: 3\nmicro-batches: -1\nrank 0: 0F\nrank 1: W\n"
                "speed: 9\nnonsense\n"),
      "own.txt:7: a line is KEY: VALUE, got \"nonsense\"\n"
      "own.txt: there is no line \"schedule: ...\"\n"
      "own.txt:3: micro-batches must be a whole number from 1, got \" -1\"\n"
      "own.txt:4: \"0F\"" +
          kForm +
          "\n"
          "own.txt:5: \"W\"" +
          kForm +
          "\n"
          "own.txt:1: placement must be loop, v, bidirectional, or a rank from 0 to 1 for each of "
          "the 3 stages; got \" spiral\"\n"
          "own.txt:6: unknown key \"speed\"; the keys are schedule, placement, stages, "
          "micro-batches, and rank 0, rank 1, ... without a gap");
}

TEST(Text, AnEmptyFileLacksEverything) {
  const std::string error = complaint("");
  for (const char* key : {"schedule", "placement", "stages", "micro-batches", "rank 0"}) {
    expect_says(error, "own.txt: there is no line \"" + std::string(key) + ": ...\"");
  }
}

}  // namespace
}  // namespace trireme::schedules
