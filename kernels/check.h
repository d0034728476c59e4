#pragma once

#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>

namespace trireme::kernels {

// The caller broke a documented requirement. Fix the caller; never catch this.
struct ContractViolation : std::logic_error {
  using std::logic_error::logic_error;
};

// The machine, not the caller, is at fault: no such device, no memory, no instruction set.
struct DeviceError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Always on: a training step takes milliseconds, this branch takes nothing.
inline void expects(bool holds, std::string_view requirement,
                    std::source_location where = std::source_location::current()) {
  if (holds) return;
  throw ContractViolation(std::string(where.file_name()) + ":" + std::to_string(where.line()) +
                          ": requires " + std::string(requirement));
}

}  // namespace trireme::kernels
