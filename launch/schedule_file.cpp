#include "launch/schedule_file.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "launch/config_file.h"
#include "schedules/check.h"
#include "schedules/text.h"

namespace trireme::launch {
namespace {

using nlohmann::json;
using schedules::ScheduleError;

std::string contents_of(const std::string& path) {
  if (std::filesystem::is_directory(path))
    throw MissingInput(path + ": is a folder, not a file of a schedule");
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file || (text.empty() && file.peek() != std::char_traits<char>::eof())) {
    throw MissingInput(path + ": no such file, or it cannot be read");
  }
  return text;
}

json parse(const std::string& text, const std::string& path) {
  try {
    return json::parse(text);
  } catch (const json::exception& error) {
    throw ScheduleError(path + ": not JSON: " + error.what());
  }
}

// Reads a schedule's members and keeps every problem.
class JsonSchedule {
 public:
  JsonSchedule(const json& root, const std::string& path) : root_(root), path_(path) {}

  schedules::Schedule read() {
    schedules::Schedule schedule;
    schedule.kind = root_.value("schedule", json("file")).dump();
    if (root_.contains("schedule") && root_["schedule"].is_string()) {
      schedule.kind = root_["schedule"].get<std::string>();
    }
    const int ranks = count("stages");
    schedule.micro_batches = count("micro_batches");
    read_actions(schedule, ranks);
    if (problems_.empty()) read_placement(schedule, ranks);
    if (!problems_.empty()) throw ScheduleError(problems_);
    return schedule;
  }

 private:
  void problem(const std::string& text) {
    problems_ += (problems_.empty() ? "" : "\n") + path_ + ": " + text;
  }

  int count(const char* key) {
    const auto found = root_.find(key);
    if (found != root_.end() && found->is_number_integer() && *found >= 1 && *found <= 1 << 20) {
      return found->get<int>();
    }
    problem(std::string("\"") + key + "\" must be a whole number from 1" +
            (found == root_.end() ? ", and is missing" : ", got " + found->dump()));
    return 1;
  }

  void read_actions(schedules::Schedule& schedule, int ranks) {
    const auto found = root_.find("actions");
    if (found == root_.end() || !found->is_array() ||
        found->size() != static_cast<std::size_t>(ranks)) {
      problem("\"actions\" must be a list of " + std::to_string(ranks) +
              " lists, one per rank (\"stages\")");
      return;
    }
    for (std::size_t rank = 0; rank < found->size(); ++rank) {
      const std::string where = path_ + ": rank " + std::to_string(rank) + ": ";
      std::string words;
      for (const json& word : (*found)[rank]) {
        if (!word.is_string()) {
          problem("rank " + std::to_string(rank) + ": " + word.dump() + " is not a string");
          return;
        }
        words += word.get<std::string>() + " ";
      }
      try {
        schedule.ranks.push_back(schedules::parse_rank(words, where));
      } catch (const ScheduleError& error) {
        problems_ += (problems_.empty() ? "" : "\n") + std::string(error.what());
      }
    }
  }

  void read_placement(schedules::Schedule& schedule, int ranks) {
    const auto found = root_.find("placement");
    const bool listed = found != root_.end() && found->is_array();
    const bool says_chunks = !listed && root_.contains("virtual_stages");
    int stages = ranks * (says_chunks ? count("virtual_stages") : 1);
    std::string words = "loop";
    if (found != root_.end() && found->is_string()) words = found->get<std::string>();
    if (listed) {
      words.clear();
      for (const json& rank : *found) words += rank.dump() + " ";
      stages = static_cast<int>(found->size());
    }
    try {
      schedule.placement = schedules::parse_placement(words, ranks, stages, path_ + ": ");
    } catch (const ScheduleError& error) {
      problems_ += (problems_.empty() ? "" : "\n") + std::string(error.what());
    }
  }

  const json& root_;
  std::string path_;
  std::string problems_;
};

}  // namespace

schedules::Schedule read_schedule(const std::string& path) {
  const std::string text = contents_of(path);
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  const bool is_json = first != std::string::npos && text[first] == '{';
  schedules::Schedule schedule = is_json ? JsonSchedule(parse(text, path), path).read()
                                         : schedules::parse_schedule(text, path);
  const auto problems = schedules::problems_of(schedule);
  std::string all;
  for (const std::string& one : problems) all += (all.empty() ? "" : "\n") + path + ": " + one;
  if (!all.empty()) throw ScheduleError(all);
  return schedule;
}

std::vector<schedules::StageCost> read_stage_costs(const std::string& path) {
  const json root = parse(contents_of(path), path);
  constexpr const char* kRule = "must be a list of rows [F, B, W], one per stage, of times from 0";
  if (!root.is_array() || root.empty()) throw ScheduleError(path + ": the file " + kRule);
  std::vector<schedules::StageCost> costs;
  std::string problems;
  for (std::size_t row = 0; row < root.size(); ++row) {
    bool good = root[row].is_array() && root[row].size() == 3;
    for (std::size_t i = 0; good && i < 3; ++i) {
      good = root[row][i].is_number() && root[row][i].get<double>() >= 0;
    }
    if (!good) {
      problems += (problems.empty() ? "" : "\n") + path + ": row " + std::to_string(row) + " is " +
                  root[row].dump() + "; the file " + kRule;
      continue;
    }
    const double forward = root[row][0], input = root[row][1], weight = root[row][2];
    costs.push_back({forward, input, weight, forward});
  }
  if (!problems.empty()) throw ScheduleError(problems);
  return costs;
}

}  // namespace trireme::launch
