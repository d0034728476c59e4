#include "schedules/trace.h"

#include <cmath>

#include "schedules/drawing.h"

namespace trireme::schedules {
namespace {

constexpr double kNanosecondsPerUnit = 1e6;

// Whole nanoseconds, so that rounding makes no two actions of a rank overlap.
double nanoseconds(double time) { return std::round(time * kNanosecondsPerUnit); }

std::string microseconds(double nanoseconds) { return decimal_text(nanoseconds / 1000, 3); }

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return result + '"';
}

class TraceWriter {
 public:
  TraceWriter(const Schedule& schedule, const Timeline& timeline, const MemoryModel& model)
      : schedule_(schedule), timeline_(timeline), model_(model) {}

  std::string write() {
    name("process_name", 0, schedule_.kind + ": " + shape_text(schedule_));
    for (int rank = 0; rank < static_cast<int>(schedule_.ranks.size()); ++rank) {
      name("thread_name", rank, "rank " + std::to_string(rank));
      actions(rank);
      memory(rank);
    }
    return "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n" + events_ + "\n]}\n";
  }

 private:
  // Perfetto takes thread 0 for the idle thread, so ranks count from 1.
  void event(const std::string& phase, int rank, const std::string& fields) {
    if (!events_.empty()) events_ += ",\n";
    events_ += "{\"ph\":\"" + phase + "\",\"pid\":1,\"tid\":" + std::to_string(rank + 1) + "," +
               fields + "}";
  }

  void name(const std::string& what, int rank, const std::string& value) {
    event("M", rank, "\"name\":\"" + what + "\",\"args\":{\"name\":" + quoted(value) + "}");
  }

  void actions(int rank) {
    const auto& actions = schedule_.ranks[static_cast<std::size_t>(rank)];
    for (std::size_t i = 0; i < actions.size(); ++i) {
      const Action& action = actions[i];
      const Interval& interval = timeline_.actions[static_cast<std::size_t>(rank)][i];
      const double start = nanoseconds(interval.start), end = nanoseconds(interval.end);
      const std::string pass = std::string("\"") + name_of(action.pass) + "\"";
      event("X", rank,
            "\"name\":\"" + to_text(action) + "\",\"cat\":" + pass +
                ",\"ts\":" + microseconds(start) + ",\"dur\":" + microseconds(end - start) +
                ",\"args\":{\"stage\":" + std::to_string(action.stage) + ",\"micro_batch\":" +
                std::to_string(action.micro_batch) + ",\"pass\":" + pass + "}");
      messages(rank, action, microseconds(start));
    }
  }

  // An arrow belongs to the innermost action of its thread that has begun before it in the file.
  // Both of its ends carry the start of their action: of an overlapped pair each keeps its own.
  void messages(int rank, const Action& action, const std::string& time) {
    const bool forward = action.pass == Pass::forward;
    if (!forward && !action.gives_gradient()) return;
    const int to = action.stage + (forward ? 1 : -1), from = action.stage + (forward ? -1 : 1);
    const auto arrow = [&](const char* phase, int sender, const char* binding) {
      const std::size_t id = 2 * schedule_.cell(sender, action.micro_batch) + (forward ? 0 : 1);
      event(phase, rank,
            std::string("\"name\":\"") + (forward ? "activation" : "gradient") +
                "\",\"cat\":\"message\",\"id\":" + std::to_string(id) + ",\"ts\":" + time +
                binding);
    };
    if (elsewhere(from, rank, action)) arrow("f", from, ",\"bp\":\"e\"");
    if (elsewhere(to, rank, action)) arrow("s", action.stage, "");
  }

  bool elsewhere(int stage, int rank, const Action& action) const {
    return stage >= 0 && stage < schedule_.placement.stages &&
           schedule_.rank_of(stage, action.micro_batch) != rank;
  }

  void memory(int rank) {
    for (const MemoryPoint& point : memory_steps(schedule_, timeline_, model_, rank)) {
      event("C", rank,
            "\"name\":\"memory of rank " + std::to_string(rank) +
                "\",\"ts\":" + microseconds(nanoseconds(point.time)) +
                ",\"args\":{\"micro-batches\":" + decimal_text(point.held, 6) + "}");
    }
  }

  const Schedule& schedule_;
  const Timeline& timeline_;
  MemoryModel model_;
  std::string events_;
};

}  // namespace

std::string perfetto_trace(const Schedule& schedule, const Timeline& timeline,
                           const MemoryModel& model) {
  return TraceWriter(schedule, timeline, model).write();
}

}  // namespace trireme::schedules
