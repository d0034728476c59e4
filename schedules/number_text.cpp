#include "schedules/number_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace trireme::schedules {

std::string decimal_text(double value, int decimals) {
  std::array<char, 400> buffer;  // the longest double has 309 digits before the point
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 std::chars_format::fixed, decimals);
  std::string text(buffer.data(), end.ptr);
  if (text.find('.') != std::string::npos) {
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
  }
  return text == "-0" ? "0" : text;
}

std::string short_text(double value) {
  const double magnitude = value == 0 ? 0 : std::floor(std::log10(std::abs(value)));
  return decimal_text(value, std::clamp(3 - static_cast<int>(magnitude), 0, 15));
}

std::string percent_text(double fraction) {
  const std::string text = decimal_text(100 * fraction, 1);
  return text + (text.find('.') == std::string::npos ? ".0%" : "%");
}

}  // namespace trireme::schedules
