#include "launch/console.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace trireme::launch {

std::string short_count(double count) {
  constexpr const char* units[] = {"", "k", "M", "B", "T"};
  std::size_t unit = 0;
  while (std::abs(count) >= 999.5 && unit + 1 < std::size(units)) {
    count /= 1000;
    ++unit;
  }
  const int decimals = unit == 0 || count >= 99.95 ? 0 : count >= 9.995 ? 1 : 2;
  return fmt::format("{:.{}f}{}", count, decimals, units[unit]);
}

std::string short_duration(double seconds) {
  const auto total = static_cast<std::int64_t>(std::max(seconds, 0.0) + 0.5);
  if (total < 60) return fmt::format("{}s", total);
  if (total < 3600) return fmt::format("{}m{:02}s", total / 60, total % 60);
  if (total < 86400) return fmt::format("{}h{:02}m", total / 3600, total / 60 % 60);
  return fmt::format("{}d{:02}h", total / 86400, total / 3600 % 24);
}

std::string bytes_text(double bytes) {
  if (bytes >= 0.1 * 0x1p30) return fmt::format("{:.2f} GiB", bytes / 0x1p30);
  return fmt::format("{:.1f} MiB", bytes / 0x1p20);
}

StepMetrics metrics_of(const runtime::StepRecord& record, const Scale& scale) {
  StepMetrics metrics;
  metrics.tokens_per_second = static_cast<double>(scale.tokens_per_step) / record.seconds;
  metrics.tokens_per_second_per_rank = metrics.tokens_per_second / scale.ranks;
  metrics.flops_per_second_per_rank = metrics.tokens_per_second_per_rank * scale.flops_per_token;
  if (scale.peak_flops_per_rank > 0) {
    metrics.mfu = metrics.flops_per_second_per_rank / scale.peak_flops_per_rank;
  }
  return metrics;
}

std::string step_line(const runtime::StepRecord& record, const Scale& scale, double eta_seconds) {
  const StepMetrics metrics = metrics_of(record, scale);
  const double peak = static_cast<double>(record.memory.total.peak) / 0x1p30;
  const double limit = static_cast<double>(scale.memory_limit) / 0x1p30;
  std::string line = fmt::format(
      "step {}/{} | loss {:.4f} | gnorm {:.2f} | lr {:.1e} | {:.0f} ms | {} tok/s ({}/rank) | MFU "
      "{:.1f}% | bubble {:.1f}% | mem {:.1f}/{:.1f} GiB | eta {}",
      record.step, scale.total_steps, record.result.loss, record.result.gradient_norm,
      record.learning_rate, record.seconds * 1e3, short_count(metrics.tokens_per_second),
      short_count(metrics.tokens_per_second_per_rank), metrics.mfu * 100,
      record.result.bubble * 100, peak, limit, short_duration(eta_seconds));
  if (record.result.skipped) line += " | SKIPPED: a gradient is not finite";
  if (record.result.taken_back) line += " | guessed wrong";
  return line;
}

std::string step_json(const runtime::StepRecord& record, const Scale& scale) {
  const StepMetrics metrics = metrics_of(record, scale);
  const nlohmann::ordered_json line = {
      {"step", record.step},
      {"loss", record.result.loss},
      {"grad_norm", record.result.gradient_norm},
      {"lr", record.learning_rate},
      {"tokens", record.tokens},
      {"step_seconds", record.seconds},
      {"tokens_per_second", metrics.tokens_per_second},
      {"tokens_per_second_per_rank", metrics.tokens_per_second_per_rank},
      {"tflops_per_rank", metrics.flops_per_second_per_rank / 1e12},
      {"mfu", metrics.mfu},
      {"bubble_fraction", record.result.bubble},
      {"peak_memory_bytes", record.memory.total.peak},
      {"data_seconds", record.result.data_seconds},
      {"skipped", record.skipped_steps},
  };
  return line.dump();
}

std::string evaluation_json(std::int64_t step, double loss) {
  return nlohmann::ordered_json{{"step", step}, {"eval_loss", loss}}.dump();
}

void ProgressLine::show(std::int64_t step, std::int64_t steps, double eta_seconds) {
  const auto now = std::chrono::steady_clock::now();
  if (!shown_ || (drawn_ && now - last_ < std::chrono::milliseconds(250))) return;
  constexpr std::int64_t kWidth = 40;
  const std::int64_t filled = kWidth * step / std::max<std::int64_t>(steps, 1);
  const std::string bar(static_cast<std::size_t>(filled), '=');
  std::fprintf(stderr, "\r\033[K[%-40s] %lld/%lld  eta %s", bar.c_str(),
               static_cast<long long>(step), static_cast<long long>(steps),
               short_duration(eta_seconds).c_str());
  std::fflush(stderr);
  drawn_ = true;
  last_ = now;
}

void ProgressLine::clear() {
  if (drawn_) std::fputs("\r\033[K", stderr);
  drawn_ = false;
}

}  // namespace trireme::launch
