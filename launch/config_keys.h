#pragma once

#include <functional>
#include <string>
#include <vector>

#include "launch/config.h"

namespace toml {
inline namespace v3 {
class node;
}
}  // namespace toml

namespace trireme::launch {

// A value breaks the rule of its key; the rule is in Key::rule.
struct RuleBroken {};

// One key of the config file: the one place that knows its name, type, default, unit, rule and
// meaning. Parsing, validation, --help, docs/config.md and resolved.toml all come from it.
struct Key {
  std::string name;  // "train.steps"
  std::string type;  // "integer"
  std::string unit;  // "steps", or empty
  std::string rule;  // "at least 1"
  std::string help;  // one line

  // Sets the key's field. Throws RuleBroken.
  std::function<void(Config&, const toml::node&)> read;

  // The field as TOML, or empty if it has no value.
  std::function<std::string(const Config&)> write;

  std::string section() const { return name.substr(0, name.find('.')); }
  std::string leaf() const { return name.substr(name.find('.') + 1); }
};

// Every key, in the order they are written.
const std::vector<Key>& config_keys();

// docs/config.md.
std::string config_reference();

// A few lines per key, for --help.
std::string config_help();

}  // namespace trireme::launch
