#pragma once

#include <string>

namespace trireme::schedules {

// `value` with at most so many decimals and no trailing zeros, the same in every locale.
std::string decimal_text(double value, int decimals);

// `value` with four digits, or with all of a longer whole part.
std::string short_text(double value);

// "27.0%".
std::string percent_text(double fraction);

}  // namespace trireme::schedules
