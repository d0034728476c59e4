#include "models/shape.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>
#include <string>

#include "models/parameters.h"

namespace trireme::models {
namespace {

struct Published {
  const char* name;
  std::int64_t parameters;
};

// Counts of the released weights.
constexpr Published kPublished[] = {
    {"gpt2-124m", 124439808},  {"gpt2-350m", 354823168},    {"gpt2-774m", 774030080},
    {"gpt2-1.5b", 1557611200}, {"llama3-1b", 1235814400},   {"llama3-3b", 3212749824},
    {"llama3-8b", 8030261248}, {"llama3-70b", 70553706496}, {"llama3-405b", 405853388800},
};

TEST(Preset, HasAsManyParametersAsThePublishedModel) {
  for (const auto& [name, parameters] : kPublished) {
    EXPECT_EQ(parameter_count(preset(name)), parameters) << name;
  }
}

TEST(Preset, IsFoundUnderEachOfTheListedNames) {
  const auto names = preset_names();
  EXPECT_EQ(std::set(names.begin(), names.end()).size(), names.size());
  for (const auto& name : names) {
    const Shape shape = preset(name);
    EXPECT_GT(parameter_count(shape), 0) << name;
    EXPECT_EQ(shape.num_attention_heads % shape.num_key_value_heads, 0) << name;
    EXPECT_EQ(shape.query_columns(), shape.hidden_size) << name;
  }
  for (const auto& [name, parameters] : kPublished) {
    EXPECT_TRUE(std::ranges::count(names, name)) << name;
  }
}

TEST(Preset, ThatIsUnknownIsAnsweredWithEveryKnownName) {
  try {
    preset("llama4-8b");
    FAIL() << "nothing was thrown";
  } catch (const ModelError& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("\"llama4-8b\""), std::string::npos) << message;
    for (const auto& name : preset_names()) {
      EXPECT_NE(message.find(name), std::string::npos) << name << " is not in: " << message;
    }
  }
}

TEST(RopeFrequencies, FallGeometricallyFromOneToOneOverTheta) {
  const Shape shape{.head_dim = 8, .rope_theta = 10000.0};
  const auto frequencies = rope_frequencies(shape);
  ASSERT_EQ(frequencies.size(), 4u);
  EXPECT_DOUBLE_EQ(frequencies[0], 1);
  EXPECT_DOUBLE_EQ(frequencies[1], 0.1);
  EXPECT_DOUBLE_EQ(frequencies[2], 0.01);
  EXPECT_DOUBLE_EQ(frequencies[3], 0.001);
}

// The branches of the reference implementation, on wavelengths.
double scaled(double frequency, const RopeScaling& scaling) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  const auto original = static_cast<double>(scaling.original_positions);
  if (wavelength < original / scaling.high_frequency) return frequency;
  if (wavelength > original / scaling.low_frequency) return frequency / scaling.factor;
  const double smooth = (original / wavelength - scaling.low_frequency) /
                        (scaling.high_frequency - scaling.low_frequency);
  return (1 - smooth) * frequency / scaling.factor + smooth * frequency;
}

TEST(RopeFrequencies, AreStretchedWhereWavelengthsAreLong) {
  for (const char* name : {"llama3-8b", "llama3-1b"}) {
    const Shape shape = preset(name);
    Shape plain = shape;
    plain.rope_scaling.reset();
    const auto before = rope_frequencies(plain), after = rope_frequencies(shape);
    ASSERT_EQ(after.size(), static_cast<std::size_t>(shape.head_dim / 2));
    int kept = 0, blended = 0, divided = 0;
    for (std::size_t pair = 0; pair < after.size(); ++pair) {
      EXPECT_DOUBLE_EQ(after[pair], scaled(before[pair], *shape.rope_scaling))
          << name << " " << pair;
      const double stretch = before[pair] / after[pair];
      if (stretch == 1) {
        ++kept;
      } else if (std::abs(stretch - shape.rope_scaling->factor) < 1e-9) {
        ++divided;
      } else {
        ++blended;
      }
    }
    EXPECT_GT(kept, 0) << name;
    EXPECT_GT(blended, 0) << name;
    EXPECT_GT(divided, 0) << name;
  }
}

TEST(RopeFrequencies, OfShortWavelengthsStayAndOfLongOnesAreDividedByTheFactor) {
  const Shape shape = preset("llama3-8b");
  const auto frequencies = rope_frequencies(shape);
  EXPECT_DOUBLE_EQ(frequencies.front(), 1);
  EXPECT_DOUBLE_EQ(frequencies.back(), std::pow(500000.0, -126.0 / 128) / 8);
}

}  // namespace
}  // namespace trireme::models
