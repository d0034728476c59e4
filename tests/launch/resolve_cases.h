#pragma once

#include <gtest/gtest.h>

#include "launch/resolve.h"
#include "tests/launch/config_text.h"

namespace trireme::launch {

// A config, and what comes of it on a number of ranks.
struct Resolved {
  LoadedConfig loaded;
  runtime::TrainerOptions options;
};

class ResolveTest : public ConfigTest {
 protected:
  Resolved resolved(const std::string& text, const std::vector<std::string>& settings = {},
                    int world = 1) const {
    Resolved result{.loaded = load(text, settings), .options = {}};
    result.options = resolve(result.loaded, world);
    return result;
  }

  // The one problem that these settings make of a small run.
  Problem problem(const std::string& key, const std::vector<std::string>& settings,
                  int world = 1) const {
    const auto [loaded, options] = resolved(kSmallRun, settings, world);
    EXPECT_EQ(loaded.problems.size(), 1u) << ConfigError(loaded.problems).what();
    return problem_with(loaded, key);
  }
};

}  // namespace trireme::launch
