// Between devices through host memory: the promises of every communicator.
#include "runtime/comm/staged_communicator.h"

#include <functional>
#include <thread>

#include "runtime/comm/local_world.h"
#include "tests/runtime/communicator_contract.h"

namespace trireme::runtime {
namespace {

// Each rank with a device of its own.
void on_staged_ranks(int size, CommunicatorOptions options,
                     const std::function<void(test::Device&, Communicator&)>& body) {
  auto world = make_local_world(size, options);
  std::vector<std::jthread> threads;
  for (auto& rank : world) {
    threads.emplace_back([&] {
      test::Device device;
      const auto staged = make_staged(std::move(rank), *device.backend);
      body(device, *staged);
    });
  }
}

class StagedTest : public testing::TestWithParam<int> {
 protected:
  void holds(void (*promise)(test::Device&, Communicator&)) {
    on_staged_ranks(GetParam(), {.timeout = std::chrono::seconds(30)}, promise);
  }
};

TEST_P(StagedTest, SumsOverAllRanks) { holds(test::all_reduce_sums); }
TEST_P(StagedTest, SumsNumbers) { holds(test::numbers_are_summed); }
TEST_P(StagedTest, FindsTheLargestNumbers) {
  holds(test::the_largest_numbers_are_found_and_nan_is_kept);
}
TEST_P(StagedTest, ReducesAndScatters) {
  holds(test::reduce_scatter_then_all_gather_is_all_reduce);
}
TEST_P(StagedTest, ReducesAndScattersInPlace) {
  holds(test::reduce_scatter_and_all_gather_work_in_place);
}
TEST_P(StagedTest, Broadcasts) { holds(test::broadcast_copies_from_the_root); }
TEST_P(StagedTest, TransposesBetweenRanks) { holds(test::all_to_all_transposes); }
TEST_P(StagedTest, ExchangesAroundARing) { holds(test::neighbors_exchange_around_a_ring); }
TEST_P(StagedTest, KeepsTheOrderOfMessages) { holds(test::sends_and_receives_keep_their_order); }
TEST_P(StagedTest, Splits) { holds(test::split_forms_groups_in_rank_order); }

INSTANTIATE_TEST_SUITE_P(Sizes, StagedTest, testing::Values(1, 2, 3, 4));

TEST(StagedCommunicator, FailsWithATimeoutWhenAPeerIsLateAndDoesNotHang) {
  on_staged_ranks(2, {.timeout = std::chrono::milliseconds(50)},
                  [](test::Device& device, Communicator& world) {
                    const auto data = device.filled({1, 1}, kernels::Dtype::f32, 1);
                    if (world.rank() == 1) return;
                    world.all_reduce(*device.stream, data);
                    EXPECT_THROW(device.stream->synchronize(), CommunicationError);
                    // The group is lost, the stream is not.
                    EXPECT_EQ(device.values(data), std::vector<double>{1});
                    world.all_reduce(*device.stream, data);
                    EXPECT_THROW(device.stream->synchronize(), CommunicationError);
                  });
}

}  // namespace
}  // namespace trireme::runtime
