#include "launch/toml_text.h"

#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <sstream>

namespace trireme::launch {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      std::array<char, 8> escape;
      std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(c));
      out += escape.data();
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string toml_text(const std::optional<std::int64_t>& value) {
  return value ? std::to_string(*value) : std::string();
}

std::string toml_text(const std::optional<double>& value) {
  if (!value) return {};
  std::array<char, 32> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), *value).ptr;
  std::string text(digits.data(), end);
  // An integer to TOML: say that it is a number.
  if (text.find_first_of(".einf") == std::string::npos) text += ".0";
  return text;
}

std::string toml_text(const std::optional<bool>& value) {
  return value ? (*value ? "true" : "false") : std::string();
}

std::string toml_text(const toml::node& node) {
  if (node.is_string()) return quoted(*node.value<std::string>());
  std::ostringstream out;
  node.visit([&](const auto& kind) { out << kind; });
  std::string text = out.str();
  std::ranges::replace(text, '\n', ' ');
  return text;
}

}  // namespace trireme::launch
