#include "launch/console.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>
#include <vector>

namespace trireme::launch {
namespace {

TEST(ShortCount, HasThreeDigitsAndAUnit) {
  EXPECT_EQ(short_count(0), "0");
  EXPECT_EQ(short_count(7), "7");
  EXPECT_EQ(short_count(999), "999");
  EXPECT_EQ(short_count(1000), "1.00k");
  EXPECT_EQ(short_count(19876), "19.9k");
  EXPECT_EQ(short_count(123456), "123k");
  EXPECT_EQ(short_count(124439808), "124M");
  EXPECT_EQ(short_count(8030261248), "8.03B");
  EXPECT_EQ(short_count(15.6e12), "15.6T");
}

TEST(ShortCount, RoundsIntoTheNextUnit) {
  EXPECT_EQ(short_count(999.4), "999");
  EXPECT_EQ(short_count(999.6), "1.00k");
  EXPECT_EQ(short_count(9994), "9.99k");
  EXPECT_EQ(short_count(9996), "10.0k");
  EXPECT_EQ(short_count(99960), "100k");
  EXPECT_EQ(short_count(999600), "1.00M");
}

TEST(ShortDuration, HasTheTwoLargestUnits) {
  EXPECT_EQ(short_duration(0), "0s");
  EXPECT_EQ(short_duration(-3), "0s");
  EXPECT_EQ(short_duration(59), "59s");
  EXPECT_EQ(short_duration(78), "1m18s");
  EXPECT_EQ(short_duration(3 * 3600 + 2 * 60 + 5), "3h02m");
  EXPECT_EQ(short_duration(2 * 86400 + 5 * 3600 + 59 * 60), "2d05h");
}

TEST(ShortDuration, RoundsIntoTheNextUnit) {
  EXPECT_EQ(short_duration(59.4), "59s");
  EXPECT_EQ(short_duration(59.6), "1m00s");
  EXPECT_EQ(short_duration(3599.6), "1h00m");
  EXPECT_EQ(short_duration(86399.6), "1d00h");
}

TEST(BytesText, HasThreeDigitsOrSo) {
  EXPECT_EQ(bytes_text(0x1p30 * 0.41), "0.41 GiB");
  EXPECT_EQ(bytes_text(0x1p20 * 3.71), "3.7 MiB");
  EXPECT_EQ(bytes_text(0), "0.0 MiB");
}

// Step 10 of 200: 8192 tokens of 8 ranks in 0.4125 seconds.
runtime::StepRecord record() {
  runtime::StepRecord result;
  result.step = 10;
  result.result = {
      .loss = 2.7123456789012345, .gradient_norm = 1.2, .data_seconds = 0.00123, .bubble = 0.061};
  result.tokens = 81920;
  result.learning_rate = 3e-4;
  result.seconds = 0.4125;
  result.skipped_steps = 1;
  result.memory.total.peak = 65712343450;
  return result;
}

Scale scale() {
  return {.total_steps = 200,
          .tokens_per_step = 8192,
          .ranks = 8,
          .flops_per_token = 50e9,
          .peak_flops_per_rank = 989.4e12,
          .memory_limit = 84933568102};
}

TEST(StepLine, ShowsAStepAtAGlance) {
  EXPECT_EQ(
      step_line(record(), scale(), 78.3),
      "step 10/200 | loss 2.7123 | gnorm 1.20 | lr 3.0e-04 | 412 ms | 19.9k tok/s (2.48k/rank) | "
      "MFU 12.5% | bubble 6.1% | mem 61.2/79.1 GiB | eta 1m18s");
}

TEST(StepLine, HasTheShapeThatScriptsRead) {
  const std::regex shape(
      R"(step \d+/\d+ \| loss \d+\.\d{4} \| gnorm \d+\.\d\d \| lr \d\.\de[+-]\d\d \| \d+ ms \| )"
      R"([\d.]+[kMBT]? tok/s \([\d.]+[kMBT]?/rank\) \| MFU [\d.]+% \| bubble [\d.]+% \| )"
      R"(mem [\d.]+/[\d.]+ GiB \| eta (\d+s|\d+m\d\ds|\d+h\d\dm|\d+d\d\dh))");
  for (const double seconds : {1e-4, 0.4125, 33.0}) {
    auto step = record();
    step.seconds = seconds;
    const std::string line = step_line(step, scale(), 200 * seconds);
    EXPECT_TRUE(std::regex_match(line, shape)) << line;
  }
}

TEST(StepLine, SaysThatAStepWasSkipped) {
  auto step = record();
  EXPECT_EQ(step_line(step, scale(), 1).find("SKIPPED"), std::string::npos);
  step.result.skipped = true;
  EXPECT_NE(step_line(step, scale(), 1).find("SKIPPED"), std::string::npos);
}

TEST(StepJson, HasTheKeysOfTheContractInOrder) {
  std::vector<std::string> keys;
  const auto line = nlohmann::ordered_json::parse(step_json(record(), scale()));
  for (const auto& [key, value] : line.items()) keys.push_back(key);
  EXPECT_EQ(keys, (std::vector<std::string>{
                      "step", "loss", "grad_norm", "lr", "tokens", "step_seconds",
                      "tokens_per_second", "tokens_per_second_per_rank", "tflops_per_rank", "mfu",
                      "bubble_fraction", "peak_memory_bytes", "data_seconds", "skipped"}));
}

TEST(StepJson, IsOneLineWhoseNumbersFollowFromTheStep) {
  const std::string text = step_json(record(), scale());
  EXPECT_EQ(text.find('\n'), std::string::npos);
  const auto line = nlohmann::json::parse(text);
  EXPECT_EQ(line["step"], 10);
  EXPECT_EQ(line["tokens"], 81920);
  EXPECT_EQ(line["grad_norm"], 1.2);
  EXPECT_EQ(line["lr"], 3e-4);
  EXPECT_EQ(line["step_seconds"], 0.4125);
  EXPECT_EQ(line["peak_memory_bytes"], 65712343450);
  EXPECT_EQ(line["data_seconds"], 0.00123);
  EXPECT_EQ(line["skipped"], 1);
  EXPECT_DOUBLE_EQ(line["tokens_per_second"], 8192 / 0.4125);
  EXPECT_DOUBLE_EQ(line["tokens_per_second_per_rank"], 1024 / 0.4125);
  EXPECT_DOUBLE_EQ(line["tflops_per_rank"], 1024 / 0.4125 * 0.05);
  EXPECT_DOUBLE_EQ(line["mfu"], 1024 / 0.4125 * 50e9 / 989.4e12);
}

TEST(StepJson, KeepsEveryBitOfTheLoss) {
  auto step = record();
  for (const double loss : {2.7123456789012345, 1.0 / 3, 5.549076080322266, 0.1, 4.0, 1e-17,
                            std::nextafter(5.0, 6.0), std::numeric_limits<double>::denorm_min()}) {
    step.result.loss = loss;
    const auto line = nlohmann::json::parse(step_json(step, scale()));
    ASSERT_TRUE(line["loss"].is_number()) << loss;
    EXPECT_EQ(line["loss"].get<double>(), loss);
    EXPECT_EQ(nlohmann::json::parse(evaluation_json(3, loss))["eval_loss"].get<double>(), loss);
  }
}

TEST(StepJson, StaysJsonWhenAGradientIsNotFinite) {
  auto step = record();
  step.result.gradient_norm = std::numeric_limits<double>::infinity();
  step.result.loss = std::nan("");
  EXPECT_TRUE(nlohmann::json::accept(step_json(step, scale())));
}

TEST(StepJson, HasNoMfuWhereThePeakIsUnknown) {
  Scale unknown = scale();
  unknown.peak_flops_per_rank = 0;
  EXPECT_EQ(nlohmann::json::parse(step_json(record(), unknown))["mfu"], 0);
}

TEST(EvaluationJson, HasAStepAndALoss) {
  EXPECT_EQ(evaluation_json(50, 1.25), R"({"step":50,"eval_loss":1.25})");
}

}  // namespace
}  // namespace trireme::launch
