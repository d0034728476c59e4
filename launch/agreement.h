#pragma once

#include <functional>

#include "launch/bootstrap.h"
#include "launch/exit_code.h"

namespace trireme::launch {

// The ranks have agreed to end, and rank 0 has said why.
struct AgreedEnd {
  ExitCode code;
};

// Runs `work` on every rank. If it fails on any, every rank ends together: rank 0 prints each
// different message once, with the ranks it came from if that is not all of them, and every rank
// throws AgreedEnd with the same code. Collective; `work` must not communicate.
void all_or_none(Job& job, const std::function<void()>& work);

}  // namespace trireme::launch
