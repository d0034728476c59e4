#include "schedules/text.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <sstream>

namespace trireme::schedules {
namespace {

constexpr const char* kActionForm =
    "an action is STAGE PASS MICRO-BATCH such as 3F12, with the pass F, B, W, BW or R; a pair is "
    "[3F12+4BW9]";

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  std::size_t at = 0;
  while ((at = text.find_first_not_of(" \t\r", at)) != std::string_view::npos) {
    const std::size_t end = std::min(text.find_first_of(" \t\r", at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

// Takes a number off the front of `text`.
std::optional<int> take_number(std::string_view& text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value < 0) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

std::optional<int> number_of(std::string_view text) {
  const auto number = take_number(text);
  return text.empty() ? number : std::nullopt;
}

std::optional<Action> action_of(std::string_view word) {
  const auto stage = take_number(word);
  const std::size_t letters = std::min(word.find_first_of("0123456789"), word.size());
  const std::string_view letter = word.substr(0, letters);
  word.remove_prefix(letters);
  const auto micro_batch = number_of(word);
  if (!stage || !micro_batch) return std::nullopt;
  for (const Pass pass : {Pass::forward, Pass::backward_input, Pass::backward_weight,
                          Pass::backward, Pass::recompute}) {
    if (letter == letter_of(pass)) {
      return Action{.pass = pass, .stage = *stage, .micro_batch = *micro_batch};
    }
  }
  return std::nullopt;
}

// "3F12", or "[3F12+4BW9]" with the first of the two overlapping the second.
std::vector<Action> actions_of(std::string_view word) {
  const bool pair = word.size() > 2 && word.front() == '[' && word.back() == ']';
  if (!pair) {
    const auto action = action_of(word);
    return action ? std::vector<Action>{*action} : std::vector<Action>{};
  }
  const std::string_view inner = word.substr(1, word.size() - 2);
  const std::size_t plus = inner.find('+');
  if (plus == std::string_view::npos) return {};
  auto first = action_of(inner.substr(0, plus));
  const auto second = action_of(inner.substr(plus + 1));
  if (!first || !second) return {};
  first->overlaps_next = true;
  return {*first, *second};
}

// The lines of a schedule file, by what stands before the colon.
class File {
 public:
  File(std::string_view text, const std::string& name) : name_(name) {
    std::istringstream lines{std::string(text)};
    std::string line;
    for (int number = 1; std::getline(lines, line); ++number) {
      const auto words = words_of(line);
      if (words.empty() || words.front().front() == '#') continue;
      const std::size_t colon = line.find(':');
      const auto key_words =
          words_of(std::string_view(line).substr(0, std::min(colon, line.size())));
      std::string key;
      for (const auto word : key_words) key += (key.empty() ? "" : " ") + std::string(word);
      if (colon == std::string::npos) {
        problem(number, "a line is KEY: VALUE, got \"" + line + "\"");
      } else if (!values_.emplace(key, Value{line.substr(colon + 1), number}).second) {
        problem(number, "\"" + key + "\" is there a second time");
      }
    }
  }

  void problem(int line, const std::string& text) {
    problems_.push_back(name_ + ":" + std::to_string(line) + ": " + text);
  }
  void problem(const std::string& text) { problems_.push_back(name_ + ": " + text); }

  std::string where(const std::string& key) const {
    return name_ + ":" + std::to_string(values_.at(key).line) + ": ";
  }

  // Takes a value; nothing, and a problem, if it is not there.
  std::optional<std::string> take(const std::string& key) {
    const auto found = values_.find(key);
    if (found == values_.end()) {
      problem("there is no line \"" + key + ": ...\"");
      return std::nullopt;
    }
    found->second.taken = true;
    return found->second.text;
  }

  std::optional<int> take_count(const std::string& key) {
    const auto text = take(key);
    if (!text) return std::nullopt;
    const auto words = words_of(*text);
    const auto number = words.size() == 1 ? number_of(words[0]) : std::nullopt;
    if (number && *number > 0) return number;
    problem(values_.at(key).line, key + " must be a whole number from 1, got \"" + *text + "\"");
    return std::nullopt;
  }

  // Runs `parse`, which may throw ScheduleError; its message is one more problem.
  template <typename Parse>
  void attempt(const Parse& parse) {
    try {
      parse();
    } catch (const ScheduleError& error) {
      problems_.push_back(error.what());
    }
  }

  int count_ranks() const {
    int ranks = 0;
    while (values_.contains("rank " + std::to_string(ranks))) ++ranks;
    return ranks;
  }

  void refuse_problems() {
    for (const auto& [key, value] : values_) {
      if (!value.taken) {
        problem(value.line, "unknown key \"" + key +
                                "\"; the keys are schedule, placement, stages, micro-batches, and "
                                "rank 0, rank 1, ... without a gap");
      }
    }
    if (problems_.empty()) return;
    std::string text;
    for (const std::string& one : problems_) text += (text.empty() ? "" : "\n") + one;
    throw ScheduleError(text);
  }

 private:
  struct Value {
    std::string text;
    int line;
    bool taken = false;
  };

  std::string name_;
  std::map<std::string, Value> values_;
  std::vector<std::string> problems_;
};

}  // namespace

std::string rank_text(const std::vector<Action>& actions) {
  std::string text;
  bool joins = false;
  for (const Action& action : actions) {
    if (!joins && !text.empty()) text += ' ';
    if (action.overlaps_next && !joins) text += '[';
    text += to_text(action);
    if (joins) text += ']';
    joins = action.overlaps_next && !joins;
    if (joins) text += '+';
  }
  return text;
}

std::vector<Action> parse_rank(std::string_view text, const std::string& where) {
  std::vector<Action> actions;
  for (const std::string_view word : words_of(text)) {
    const auto parsed = actions_of(word);
    if (parsed.empty()) {
      throw ScheduleError(where + "\"" + std::string(word) + "\" is not an action; " + kActionForm);
    }
    actions.insert(actions.end(), parsed.begin(), parsed.end());
  }
  return actions;
}

std::string placement_text(const Placement& placement) {
  if (placement.kind != PlacementKind::custom) return to_text(placement.kind);
  std::string text;
  for (const int rank : placement.rank_of[0]) {
    text += (text.empty() ? "" : " ") + std::to_string(rank);
  }
  return text;
}

Placement parse_placement(std::string_view text, int ranks, int stages, const std::string& where) {
  const auto words = words_of(text);
  const std::string first = words.empty() ? "" : std::string(words[0]);
  const bool named = first == "loop" || first == "v";
  if (words.size() == 1 && (named || first == "bidirectional")) {
    if (stages % ranks != 0 || (!named && stages != ranks)) {
      throw ScheduleError(where + "placement " + first + " of " + std::to_string(stages) +
                          " stages on " + std::to_string(ranks) + " ranks: the stages must be " +
                          (named ? "a multiple of the ranks" : "as many as the ranks"));
    }
    if (first == "loop") return Placement::loop(ranks, stages / ranks);
    return named ? Placement::v(ranks, stages / ranks) : Placement::bidirectional(ranks);
  }
  std::vector<int> rank_of;
  for (const std::string_view word : words) {
    const auto rank = number_of(word);
    if (rank && *rank < ranks) rank_of.push_back(*rank);
  }
  if (rank_of.size() != words.size() || rank_of.size() != static_cast<std::size_t>(stages)) {
    throw ScheduleError(where + "placement must be loop, v, bidirectional, or a rank from 0 to " +
                        std::to_string(ranks - 1) + " for each of the " + std::to_string(stages) +
                        " stages; got \"" + std::string(text) + "\"");
  }
  for (int rank = 0; rank < ranks; ++rank) {
    if (std::find(rank_of.begin(), rank_of.end(), rank) == rank_of.end()) {
      throw ScheduleError(where + "the placement gives rank " + std::to_string(rank) +
                          " no stage; every rank from 0 to " + std::to_string(ranks - 1) +
                          " needs one");
    }
  }
  return Placement::custom(std::move(rank_of));
}

std::string schedule_text(const Schedule& schedule) {
  std::string text = "schedule: " + schedule.kind +
                     "\nplacement: " + placement_text(schedule.placement) +
                     "\nstages: " + std::to_string(schedule.placement.stages) +
                     "\nmicro-batches: " + std::to_string(schedule.micro_batches) + "\n";
  for (std::size_t rank = 0; rank < schedule.ranks.size(); ++rank) {
    text += "rank " + std::to_string(rank) + ": " + rank_text(schedule.ranks[rank]) + "\n";
  }
  return text;
}

Schedule parse_schedule(std::string_view text, const std::string& name) {
  File file(text, name);
  Schedule schedule;
  const auto kind = file.take("schedule");
  const auto placement = file.take("placement");
  const auto stages = file.take_count("stages");
  const auto micro_batches = file.take_count("micro-batches");
  const int ranks = file.count_ranks();
  if (ranks == 0) file.problem("there is no line \"rank 0: ...\"");
  for (int rank = 0; rank < ranks; ++rank) {
    const std::string key = "rank " + std::to_string(rank);
    const auto actions = file.take(key);
    file.attempt([&] { schedule.ranks.push_back(parse_rank(*actions, file.where(key))); });
  }
  if (placement && stages && ranks > 0) {
    file.attempt([&] {
      schedule.placement = parse_placement(*placement, ranks, *stages, file.where("placement"));
    });
  }
  file.refuse_problems();
  const auto words = words_of(*kind);
  schedule.kind = words.empty() ? "file" : std::string(words[0]);
  schedule.micro_batches = *micro_batches;
  return schedule;
}

}  // namespace trireme::schedules
