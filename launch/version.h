#pragma once

#include <string>

namespace trireme::launch {

// "trireme 0.1.0 (a1b2c3d)" and the versions of the libraries it was built with.
std::string version_text();

}  // namespace trireme::launch
