#include "launch/device_agreement.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <utility>

#include "launch/agreement.h"

namespace trireme::launch {
namespace {

TEST(DeviceAgreement, IsThereIfAllFoundTheSame) {
  EXPECT_EQ(device_mix({{.cuda = true, .host = "a"}, {.cuda = true, .host = "b"}}), "");
  EXPECT_EQ(device_mix({{.host = "a", .problem = "no driver"}, {.host = "b"}}), "");
}

TEST(DeviceAgreement, NamesTheFirstThatFoundNone) {
  EXPECT_EQ(device_mix({{.cuda = true, .host = "a"},
                        {.host = "b", .problem = "there is no NVIDIA driver"},
                        {.host = "c"}}),
            "auto finds CUDA devices for 1 of 3 ranks, and none for rank 1 (b): there is no NVIDIA "
            "driver; ranks have to train on the same kind of device");
}

// Rank 0 of two on different nodes, the other of which found what it is told.
class TwoNodes final : public Job {
 public:
  explicit TwoNodes(std::string other) : other_(std::move(other)) {}

  int rank() const override { return 0; }
  int size() const override { return 2; }
  int local_rank() const override { return 0; }
  int local_size() const override { return 1; }
  std::vector<std::string> gather(const std::string& text) override {
    const bool of_device = std::exchange(first_, false);
    return {text, of_device ? other_ : text};
  }
  std::unique_ptr<runtime::Communicator> make_world(runtime::CommunicatorOptions) override {
    return nullptr;
  }
  std::string description() const override { return "two nodes"; }
  void set_patience(std::chrono::milliseconds) override {}
  [[noreturn]] void fail(int code, const std::string&) override { std::exit(code); }

 private:
  std::string other_;
  bool first_ = true;
};

TEST(DeviceAgreement, EndsAllRanksOfAMix) {
  RankSetup setup;
  setup.loaded.config.train.device = Device::cpu;
  TwoNodes same("cpu\nother\n"), mixed("cuda\nother\n");
  EXPECT_NO_THROW(agree_on_device(setup, same));
  try {
    agree_on_device(setup, mixed);
    FAIL() << "one has CUDA";
  } catch (const AgreedEnd& end) {
    EXPECT_EQ(end.code, ExitCode::usage);
  }
}

}  // namespace
}  // namespace trireme::launch
