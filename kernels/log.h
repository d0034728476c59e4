#pragma once

#include <spdlog/spdlog.h>

namespace trireme::kernels {

// The one logger. launch/ sets its sinks and its pattern, which carries the rank.
inline spdlog::logger& log() { return *spdlog::default_logger_raw(); }

}  // namespace trireme::kernels
