#pragma once

#include "launch/config_file.h"

namespace trireme::launch {

// The shape that [model] describes. Adds what is missing or contradicts itself to the problems;
// the shape is usable only if there are none. Writes every size back, so that the resolved config
// needs no preset.
models::Shape resolve_model(LoadedConfig& loaded);

}  // namespace trireme::launch
