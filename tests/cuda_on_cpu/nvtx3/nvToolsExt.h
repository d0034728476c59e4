#pragma once

// In place of NVTX's header: a profiler that nobody started.
inline int nvtxRangePushA(const char*) { return 0; }
inline int nvtxRangePop() { return 0; }
