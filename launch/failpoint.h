#pragma once

#include "checkpoints/disk.h"

namespace trireme::launch {

// For tests of what a crash leaves behind: TRIREME_FAILPOINT = "STEP:RANK:HIT:ACTION" makes the
// HIT-th (from 1) step of this name on the disk of rank RANK (or * for any) do ACTION: kill (the
// process, as kill -9 would), eio, enospc (the step fails), or a number of milliseconds to wait.
// STEP is one of those that checkpoints/disk.h names, or * for all of them together. Nothing if the
// variable is not set; throws UsageError if it makes no sense.
checkpoints::Disk::Hook failpoint_hook(int rank);

}  // namespace trireme::launch
