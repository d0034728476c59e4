#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace toml {
inline namespace v3 {
class node;
}
}  // namespace toml

namespace trireme::launch {

// A TOML string.
std::string quoted(std::string_view text);

// Values as TOML writes them, numbers in the shortest form that reads back exactly; empty for
// nothing.
std::string toml_text(const std::optional<std::int64_t>& value);
std::string toml_text(const std::optional<double>& value);
std::string toml_text(const std::optional<bool>& value);

// A value as its author wrote it, on one line.
std::string toml_text(const toml::node& node);

}  // namespace trireme::launch
