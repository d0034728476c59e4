#include "launch/run_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <sstream>

#include "kernels/log.h"
#include "launch/node.h"
#include "launch/run_header.h"

namespace trireme::launch {
namespace {

void say(const std::string& text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    kernels::log().info("{}", text.substr(at, end - at));
    at = end + 1;
  }
}

void warn_of_cores(const RankSetup& setup) {
  constexpr int kEnough = 4;  // for what enqueues, what carries messages, and what saves
  if (setup.loaded.config.train.device == Device::cuda && usable_cores() < kEnough) {
    kernels::log().warn(
        "each rank has {} cores beside its GPU; give it {} or more (srun --cpus-per-task, mpirun "
        "--bind-to none)",
        usable_cores(), kEnough);
  }
  if (setup.threads > usable_cores()) {
    kernels::log().warn(
        "each rank has {} threads but is bound to {} of {} cores; start ranks with mpirun "
        "--bind-to none",
        setup.threads, usable_cores(), node_cores());
  }
}

}  // namespace

void say_header(const RankSetup& setup, const Job& job, const std::vector<std::string>& hosts,
                const Scale& scale) {
  say(machine_text(job, hosts, setup.backend->description(), scale));
  if (job.size() > 1) say("links     " + setup.transport + "\n");
  say(plan_text(setup.options));
  if (measures_pipeline(setup.loaded)) say(costs_text(setup.options.costs));
  say("config\n" + config_with_sources(setup.loaded));
  warn_of_cores(setup);
}

void say_peaks(Job& job, const kernels::Backend& backend) {
  const kernels::MemoryUse use = backend.memory();
  std::string numbers = std::to_string(use.total.peak);
  for (const auto& category : use.categories) numbers += " " + std::to_string(category.peak);
  const auto all = job.gather(numbers);
  if (job.rank() != 0) return;
  std::size_t largest = 0;
  std::vector<std::vector<double>> peaks;
  for (const std::string& text : all) {
    std::istringstream words(text);
    peaks.emplace_back(std::istream_iterator<double>(words), std::istream_iterator<double>());
    if (peaks.back().front() > peaks[largest].front()) largest = peaks.size() - 1;
  }
  std::string parts;
  for (std::size_t i = 0; i < kernels::kCategories; ++i) {
    parts += fmt::format("{}{} {}", i == 0 ? "" : ", ",
                         kernels::name_of(static_cast<kernels::Category>(i)),
                         bytes_text(peaks[largest][i + 1]));
  }
  kernels::log().info("peak memory {} on rank {}, the largest of {}: {}",
                      bytes_text(peaks[largest].front()), largest, all.size(), parts);
}

void say_why_stopped(int signal, bool in_time, std::optional<std::int64_t> saved) {
  const std::string why = signal != 0 ? std::string("by ") + strsignal(signal)
                          : in_time   ? "to end in time"
                                      : "by another rank's signal";
  if (saved) {
    kernels::log().warn("stopped {} after step {}, saved; the same command goes on", why, *saved);
  } else {
    kernels::log().warn(
        "stopped {} after a whole step; checkpoint.interval is 0, so nothing was saved", why);
  }
}

}  // namespace trireme::launch
