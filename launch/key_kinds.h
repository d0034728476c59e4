#pragma once

#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "launch/config_keys.h"
#include "launch/toml_text.h"

// How keys of each kind are read, checked and written: what config_keys.cpp composes its table
// from.
namespace trireme::launch {

inline constexpr std::int64_t kAny = std::numeric_limits<std::int64_t>::max();

// Products of two sizes fit in 64 bits.
inline constexpr std::int64_t kLargest = std::int64_t{1} << 30;
inline constexpr std::int64_t kMostThreads = 4096;
inline constexpr std::int64_t kMostLayers = std::int64_t{1} << 16;

// What a key is called and what it is for.
struct About {
  const char* name;
  const char* unit;
  const char* help;
};

template <class Value>
Value value_of(const toml::node& node) {
  // Lossless conversions only: 3 is a number and 1e6 an integer, but 2.5 and true are not.
  const auto value = node.value<Value>();
  const bool same_kind = node.is_string() == std::is_same_v<Value, std::string> &&
                         node.is_boolean() == std::is_same_v<Value, bool>;
  if (!value || !same_kind) throw RuleBroken();
  return *value;
}

inline std::string range_rule(std::int64_t least, std::int64_t most) {
  if (least == most) return std::to_string(least) + " in this version";
  if (most == kAny) return "at least " + std::to_string(least);
  return std::to_string(least) + " to " + std::to_string(most);
}

template <class Access>
Key integer(About about, Access access, std::int64_t least, std::int64_t most = kAny) {
  return {about.name,
          "integer",
          about.unit,
          range_rule(least, most),
          about.help,
          [=](Config& config, const toml::node& node) {
            const auto value = value_of<std::int64_t>(node);
            if (value < least || value > most) throw RuleBroken();
            access(config) = value;
          },
          [=](const Config& config) {
            return toml_text(std::optional(access(const_cast<Config&>(config))));
          }};
}

// An integer, or "auto" for nothing.
template <class Access>
Key integer_or_auto(About about, Access access, std::int64_t least, std::int64_t most) {
  return {about.name,
          "integer or \"auto\"",
          about.unit,
          "\"auto\" or " + range_rule(least, most),
          about.help,
          [=](Config& config, const toml::node& node) {
            if (node.value<std::string>() == "auto") {
              access(config) = std::nullopt;
              return;
            }
            const auto value = value_of<std::int64_t>(node);
            if (value < least || value > most) throw RuleBroken();
            access(config) = value;
          },
          [=](const Config& config) {
            const auto& value = access(const_cast<Config&>(config));
            return value ? toml_text(value) : std::string("\"auto\"");
          }};
}

struct Interval {
  double least, most;
  const char* rule;
};

inline constexpr Interval kPositive{std::numeric_limits<double>::min(), 1e300, "above 0"};
inline constexpr Interval kNotNegative{0, 1e300, "at least 0"};
inline constexpr Interval kSeconds{std::numeric_limits<double>::min(), 1e9,
                                   "above 0 and at most 1e9"};
inline constexpr Interval kFraction{0, std::nextafter(1.0, 0.0), "at least 0 and below 1"};

template <class Access>
Key number(About about, Access access, Interval allowed) {
  return {about.name,
          "number",
          about.unit,
          allowed.rule,
          about.help,
          [=](Config& config, const toml::node& node) {
            const auto value = value_of<double>(node);
            if (!(value >= allowed.least && value <= allowed.most)) throw RuleBroken();
            access(config) = value;
          },
          [=](const Config& config) {
            return toml_text(std::optional(access(const_cast<Config&>(config))));
          }};
}

template <class Access>
Key boolean(About about, Access access) {
  return {about.name,
          "true or false",
          about.unit,
          "true or false",
          about.help,
          [=](Config& config, const toml::node& node) {
            if (!node.is_boolean()) throw RuleBroken();
            access(config) = value_of<bool>(node);
          },
          [=](const Config& config) {
            return toml_text(std::optional(access(const_cast<Config&>(config))));
          }};
}

template <class Access>
Key text(About about, const char* rule, Access access) {
  return {
      about.name,
      "text",
      about.unit,
      rule,
      about.help,
      [=](Config& config, const toml::node& node) { access(config) = value_of<std::string>(node); },
      [=](const Config& config) { return quoted(access(const_cast<Config&>(config))); }};
}

template <class Choice, std::size_t Count>
using Choices = std::array<std::pair<const char*, Choice>, Count>;

template <class Access, class Choice, std::size_t Count>
Key choice(About about, Access access, Choices<Choice, Count> choices) {
  std::string rule;
  for (const auto& [name, value] : choices) rule += (rule.empty() ? "" : ", ") + quoted(name);
  return {about.name,
          "text",
          about.unit,
          "one of " + rule,
          about.help,
          [=](Config& config, const toml::node& node) {
            const auto given = value_of<std::string>(node);
            for (const auto& [name, value] : choices) {
              if (given == name) {
                access(config) = value;
                return;
              }
            }
            throw RuleBroken();
          },
          [=](const Config& config) {
            for (const auto& [name, value] : choices) {
              if (access(const_cast<Config&>(config)) == value) return quoted(name);
            }
            return std::string();
          }};
}

// A number, or "auto" for nothing.
template <class Access>
Key number_or_auto(About about, Access access, Interval allowed) {
  return {about.name,
          "number or \"auto\"",
          about.unit,
          std::string("\"auto\" or ") + allowed.rule,
          about.help,
          [=](Config& config, const toml::node& node) {
            if (node.value<std::string>() == "auto") {
              access(config) = std::nullopt;
              return;
            }
            const auto value = value_of<double>(node);
            if (!(value >= allowed.least && value <= allowed.most)) throw RuleBroken();
            access(config) = value;
          },
          [=](const Config& config) {
            const auto& value = access(const_cast<Config&>(config));
            return value ? toml_text(value) : std::string("\"auto\"");
          }};
}

// A text that is not written when it is empty.
template <class Access>
Key optional_text(About about, const char* rule, Access access) {
  Key key = text(about, rule, access);
  key.write = [=](const Config& config) {
    const auto& value = access(const_cast<Config&>(config));
    return value.empty() ? std::string() : quoted(value);
  };
  return key;
}

// A text of which few values are built so far: others are refused, so that nothing a user asks for
// is silently not done.
template <class Access>
Key word(About about, Access access, std::vector<std::string> words) {
  std::string rule;
  for (const auto& each : words) rule += (rule.empty() ? "one of " : ", ") + quoted(each);
  Key key = text(about, "", access);
  key.rule = rule;
  key.read = [=](Config& config, const toml::node& node) {
    const auto given = value_of<std::string>(node);
    if (std::ranges::find(words, given) == words.end()) throw RuleBroken();
    access(config) = given;
  };
  return key;
}

// Optional sizes of the model, over what a preset says.
template <class Access>
Key size(About about, Access access, std::int64_t least, std::int64_t most = kLargest) {
  return {about.name,
          "integer",
          about.unit,
          range_rule(least, most),
          about.help,
          [=](Config& config, const toml::node& node) {
            const auto value = value_of<std::int64_t>(node);
            if (value < least || value > most) throw RuleBroken();
            access(config) = value;
          },
          [=](const Config& config) { return toml_text(access(const_cast<Config&>(config))); }};
}

template <class Access>
Key real(About about, Access access) {
  Key key = number(about, access, kPositive);
  key.write = [=](const Config& config) { return toml_text(access(const_cast<Config&>(config))); };
  return key;
}

template <class Access>
Key flag(About about, Access access) {
  Key key = boolean(about, access);
  key.write = [=](const Config& config) { return toml_text(access(const_cast<Config&>(config))); };
  return key;
}

// A field of the config, by reference.
template <class Section, class Field>
auto at(Section Config::*section, Field Section::*field) {
  return [=](Config& config) -> Field& { return config.*section.*field; };
}

}  // namespace trireme::launch
