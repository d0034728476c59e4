#pragma once

#include <initializer_list>
#include <map>
#include <string>
#include <vector>

#include "launch/config.h"

namespace trireme::launch {

// A config as read, with where each value came from and everything that was wrong with it.
struct LoadedConfig {
  Config config;
  std::string path;
  std::map<std::string, std::string> places;  // by key: "run.toml:12" or "--set"
  std::map<std::string, std::string> values;  // by key: as given
  std::vector<Problem> problems;

  // "run.toml:12", "--set" or "default".
  std::string place_of(const std::string& key) const;

  // There is a problem with `key` already, so that nothing follows from its value.
  bool rejected(const std::string& key) const;

  // None of `keys` has a problem: what follows from their values together may be judged.
  bool sound(std::initializer_list<const char*> keys) const;

  // The same as `rejected` for any key of a section.
  bool any_rejected(const std::string& section) const;

  // Adds a problem with `key`, whose value is what was given or the default.
  void reject(const std::string& key, std::string rule);
};

// There is no such file, or it may not be read.
struct MissingInput : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Reads a config file, and then `settings`, each "section.key=value" in TOML (a bare word is a
// text). Values out of range, wrong types and unknown keys become problems; throws MissingInput,
// and ConfigError for a file that is not TOML.
LoadedConfig load_config(const std::string& path, const std::vector<std::string>& settings);

// The same for the content of a file; `name` is what errors call it.
LoadedConfig parse_config(const std::string& text, const std::string& name,
                          const std::vector<std::string>& settings);

// The whole config as a file that can be run again.
std::string resolved_toml(const Config& config);

}  // namespace trireme::launch
