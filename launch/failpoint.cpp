#include "launch/failpoint.h"

#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <sstream>
#include <thread>
#include <vector>

#include "checkpoints/error.h"
#include "launch/config.h"

namespace trireme::launch {
namespace {

struct Failpoint {
  std::string step, rank, action;
  long hit = 0;
  std::atomic<long> hits = 0;
};

[[noreturn]] void fail_with(const std::filesystem::path& path, int code) {
  throw checkpoints::CheckpointError(checkpoints::Fault::io,
                                     path.string() + ": " + std::strerror(code));
}

std::optional<long> number_of(const std::string& text) {
  long value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

std::shared_ptr<Failpoint> parse(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ':');) parts.push_back(part);
  auto point = std::make_shared<Failpoint>();
  const auto hit = parts.size() == 4 ? number_of(parts[2]) : std::nullopt;
  if (!hit ||
      (parts[3] != "kill" && parts[3] != "eio" && parts[3] != "enospc" && !number_of(parts[3]))) {
    throw UsageError("TRIREME_FAILPOINT=" + text +
                     ": must be STEP:RANK:HIT:ACTION with an action of kill, eio, enospc or "
                     "milliseconds");
  }
  point->step = parts[0];
  point->rank = parts[1];
  point->hit = *hit;
  point->action = parts[3];
  return point;
}

}  // namespace

checkpoints::Disk::Hook failpoint_hook(int rank) {
  const char* text = std::getenv("TRIREME_FAILPOINT");
  if (!text || !*text) return {};
  const auto point = parse(text);
  if (point->rank != "*" && point->rank != std::to_string(rank)) return {};
  return [point](std::string_view step, const std::filesystem::path& path) {
    if (point->step != "*" && point->step != step) return;
    if (++point->hits != point->hit) return;
    if (point->action == "kill") std::raise(SIGKILL);
    if (point->action == "eio") fail_with(path, EIO);
    if (point->action == "enospc") fail_with(path, ENOSPC);
    std::this_thread::sleep_for(std::chrono::milliseconds(*number_of(point->action)));
  };
}

}  // namespace trireme::launch
