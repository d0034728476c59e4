#pragma once

#include <string>

#include "launch/config_file.h"

namespace trireme::launch {

// The shape that [model] describes. Adds what is missing or contradicts itself to the problems;
// the shape is usable only if there are none. Writes every size back, so that the resolved config
// needs no preset.
models::Shape resolve_model(LoadedConfig& loaded);

// The [model] section that says so, as TOML.
std::string model_toml(const models::Shape& shape);

}  // namespace trireme::launch
