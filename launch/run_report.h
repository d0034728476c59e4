#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "launch/bootstrap.h"
#include "launch/console.h"
#include "launch/rank_setup.h"

namespace trireme::launch {

// The lines of the log that a run begins with: where it runs, what it trains, how, by which config,
// and what of that its user may not have meant. On rank 0.
void say_header(const RankSetup& setup, const Job& job, const std::vector<std::string>& hosts,
                const Scale& scale);

// And one that it ends with: where the memory went, on the rank that needed most. Collective; rank
// 0 says it.
void say_peaks(Job& job, const kernels::Backend& backend);

// Why it stopped before its last step: by a signal to this rank, or to another one (0), or to end
// in time; and up to which step all is saved, if it is.
void say_why_stopped(int signal, bool in_time, std::optional<std::int64_t> saved);

}  // namespace trireme::launch
