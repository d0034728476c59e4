#include "launch/config_file.h"

#include <toml++/toml.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <sstream>

#include "launch/config_keys.h"
#include "launch/toml_text.h"

namespace trireme::launch {
namespace {

// Letters to insert, delete or change to turn one word into the other.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t change = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, change});
    }
  }
  return row.back();
}

const Key* find_key(const std::string& name) {
  const auto& keys = config_keys();
  const auto found = std::ranges::find(keys, name, &Key::name);
  return found == keys.end() ? nullptr : &*found;
}

// The known key that is spelled most alike, in any section.
std::string nearest_key(const std::string& name) {
  const auto leaf = [](const std::string& key) { return key.substr(key.find('.') + 1); };
  const auto distance = [&](const Key& key) {
    return std::min(edit_distance(name, key.name), 1 + edit_distance(leaf(name), key.leaf()));
  };
  return std::ranges::min_element(config_keys(), {}, distance)->name;
}

void read_key(LoadedConfig& loaded, const std::string& name, const toml::node& node,
              const std::string& place) {
  const Key* key = find_key(name);
  if (!key) {
    loaded.problems.push_back(
        {place, name, toml_text(node), "is not a key; the nearest one is " + nearest_key(name)});
    return;
  }
  loaded.places[name] = place;
  loaded.values[name] = toml_text(node);
  try {
    key->read(loaded.config, node);
  } catch (const RuleBroken&) {
    loaded.problems.push_back(
        {place, name, toml_text(node), "must be " + key->rule + " (" + key->type + ")"});
  }
}

void read_table(LoadedConfig& loaded, const toml::table& root) {
  for (const auto& [section, node] : root) {
    const auto place = [&](const toml::node& at) {
      return loaded.path + ":" + std::to_string(at.source().begin.line);
    };
    const auto* table = node.as_table();
    if (!table) {
      loaded.problems.push_back({place(node), std::string(section.str()), toml_text(node),
                                 "is outside any section; the nearest key is " +
                                     nearest_key(std::string(section.str()))});
      continue;
    }
    for (const auto& [leaf, value] : *table) {
      read_key(loaded, std::string(section.str()) + "." + std::string(leaf.str()), value,
               place(value));
    }
  }
}

void read_setting(LoadedConfig& loaded, const std::string& setting) {
  const auto equals = setting.find('=');
  if (equals == std::string::npos || setting.find('.') > equals) {
    loaded.problems.push_back({"--set", setting, "", "must be section.key=value"});
    return;
  }
  std::string name = setting.substr(0, equals);
  std::ranges::replace(name, '-', '_');
  const std::string text = setting.substr(equals + 1);
  toml::table parsed;
  try {
    parsed = toml::parse(std::string_view("value = " + text));
  } catch (const toml::parse_error&) {
    parsed.insert("value", text);  // a bare word
  }
  read_key(loaded, name, *parsed.get("value"), "--set");
}

}  // namespace

std::string to_text(const Problem& problem) {
  const auto& [place, key, value, rule] = problem;
  return (place.empty() ? std::string("default") : place) + ": " + key +
         (value.empty() ? "" : " = " + value) + ": " + rule;
}

ConfigError::ConfigError(std::vector<Problem> found)
    : std::runtime_error([&] {
        std::string text =
            std::to_string(found.size()) + (found.size() == 1 ? " problem with the configuration"
                                                              : " problems with the configuration");
        for (const Problem& problem : found) text += "\n  " + to_text(problem);
        return text;
      }()),
      problems(std::move(found)) {}

std::string LoadedConfig::place_of(const std::string& key) const {
  const auto found = places.find(key);
  return found == places.end() ? "default" : found->second;
}

bool LoadedConfig::rejected(const std::string& key) const {
  return std::ranges::find(problems, key, &Problem::key) != problems.end();
}

bool LoadedConfig::sound(std::initializer_list<const char*> keys) const {
  return std::ranges::none_of(keys, [&](const char* key) { return rejected(key); });
}

bool LoadedConfig::any_rejected(const std::string& section) const {
  return std::ranges::any_of(
      problems, [&](const Problem& problem) { return problem.key.starts_with(section + "."); });
}

void LoadedConfig::reject(const std::string& key, std::string rule) {
  const auto given = values.find(key);
  const Key* known = find_key(key);
  std::string value = given != values.end() ? given->second : known ? known->write(config) : "";
  problems.push_back({place_of(key), key, std::move(value), std::move(rule)});
}

LoadedConfig load_config(const std::string& path, const std::vector<std::string>& settings) {
  std::ifstream file(path);
  if (!file) throw MissingInput(path + ": no such config file, or it cannot be read");
  if (std::filesystem::is_directory(path))
    throw MissingInput(path + ": is a folder, not a config file");
  std::ostringstream text;
  text << file.rdbuf();
  return parse_config(text.str(), path, settings);
}

LoadedConfig parse_config(const std::string& text, const std::string& name,
                          const std::vector<std::string>& settings) {
  LoadedConfig loaded;
  loaded.path = name;
  try {
    read_table(loaded, toml::parse(std::string_view(text), std::string_view(name)));
  } catch (const toml::parse_error& error) {
    // Nothing else can be said about a file that cannot be parsed.
    throw ConfigError({{name + ":" + std::to_string(error.source().begin.line), "TOML", "",
                        std::string(error.description())}});
  }
  for (const std::string& setting : settings) read_setting(loaded, setting);
  return loaded;
}

std::string resolved_toml(const Config& config) {
  std::string out, section;
  for (const Key& key : config_keys()) {
    const std::string value = key.write(config);
    if (value.empty()) continue;
    if (key.section() != section) {
      out += (section.empty() ? "[" : "\n[") + key.section() + "]\n";
      section = key.section();
    }
    out += key.leaf() + " = " + value + "\n";
  }
  return out;
}

}  // namespace trireme::launch
