#pragma once

#include <memory>

#include "runtime/comm/communicator.h"
#include "runtime/trace/span_log.h"

namespace trireme::runtime {

// `group`, and all groups split from it, with a span in `spans` for every collective. Messages are
// left to those who know what is in them. Borrows both.
std::unique_ptr<Communicator> make_traced(Communicator& group, SpanLog& spans);

}  // namespace trireme::runtime
