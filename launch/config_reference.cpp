#include "launch/config_keys.h"

namespace trireme::launch {

std::string config_reference() {
  const Config defaults;
  std::string out =
      "# The config file\n\n"
      "A run is described by one TOML file. Every key is listed here; this page is printed by\n"
      "`trireme config`. Any key can also be set on the command line, which wins over the file:\n"
      "`--set train.steps=500`. An interval of 0 turns the thing off.\n";
  std::string section;
  for (const Key& key : config_keys()) {
    if (key.section() != section) {
      section = key.section();
      out += "\n## [" + section +
             "]\n\n| key | type | default | unit | rule | meaning |\n|---|---|---|---|---|---|\n";
    }
    const std::string value = key.write(defaults);
    out += "| `" + key.leaf() + "` | " + key.type + " | " +
           (value.empty() ? "" : "`" + value + "`") + " | " + key.unit + " | " + key.rule + " | " +
           key.help + " |\n";
  }
  return out;
}

std::string config_help() {
  const Config defaults;
  std::string out;
  std::string section;
  for (const Key& key : config_keys()) {
    if (key.section() != section) {
      section = key.section();
      out += "\n[" + section + "]\n";
    }
    const std::string value = key.write(defaults);
    out += "  " + key.name + (value.empty() ? "" : " = " + value) +
           (key.unit.empty() ? "" : " " + key.unit) + "\n      " + key.help + " (" + key.rule +
           ")\n";
  }
  return out;
}

}  // namespace trireme::launch
