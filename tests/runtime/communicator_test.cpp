// Ranks as threads: every machine can run this, and so can the thread sanitizer.
#include "runtime/comm/local_world.h"
#include "tests/runtime/communicator_contract.h"
#include "tests/support/ranks.h"

namespace trireme::runtime {
namespace {

class LocalWorldTest : public testing::TestWithParam<int> {
 protected:
  void holds(void (*promise)(test::Device&, Communicator&)) {
    test::on_ranks(GetParam(), [&](Communicator& world) {
      test::Device device;
      promise(device, world);
    });
  }
};

TEST_P(LocalWorldTest, SumsOverAllRanks) { holds(test::all_reduce_sums); }
TEST_P(LocalWorldTest, SumsNumbers) { holds(test::numbers_are_summed); }
TEST_P(LocalWorldTest, FindsTheLargestNumbers) {
  holds(test::the_largest_numbers_are_found_and_nan_is_kept);
}
TEST_P(LocalWorldTest, ReducesAndScatters) {
  holds(test::reduce_scatter_then_all_gather_is_all_reduce);
}
TEST_P(LocalWorldTest, ReducesAndScattersInPlace) {
  holds(test::reduce_scatter_and_all_gather_work_in_place);
}
TEST_P(LocalWorldTest, Broadcasts) { holds(test::broadcast_copies_from_the_root); }
TEST_P(LocalWorldTest, TransposesBetweenRanks) { holds(test::all_to_all_transposes); }
TEST_P(LocalWorldTest, ExchangesAroundARing) { holds(test::neighbors_exchange_around_a_ring); }
TEST_P(LocalWorldTest, KeepsTheOrderOfMessages) {
  holds(test::sends_and_receives_keep_their_order);
}
TEST_P(LocalWorldTest, Splits) { holds(test::split_forms_groups_in_rank_order); }

INSTANTIATE_TEST_SUITE_P(Sizes, LocalWorldTest, testing::Values(1, 2, 3, 4));

TEST(LocalWorld, FailsWithATimeoutWhenAPeerIsLate) {
  const CommunicatorOptions impatient{.timeout = std::chrono::milliseconds(50)};
  auto world = make_local_world(2, impatient);
  test::Device device;
  const auto data = device.filled({1, 1}, kernels::Dtype::f32, 1);
  world[0]->all_reduce(*device.stream, data);
  EXPECT_THROW(device.stream->synchronize(), CommunicationError);
}

TEST(LocalWorld, WaitsInAGroupAsLongAsThatGroupWasTold) {
  test::on_ranks(2, [](Communicator& patient) {
    const auto group = patient.split(0, "impatient", {.timeout = std::chrono::milliseconds(50)});
    if (patient.rank() == 1) return;
    test::Device device;
    const auto data = device.filled({1, 1}, kernels::Dtype::f32, 1);
    group->all_reduce(*device.stream, data);
    EXPECT_THROW(device.stream->synchronize(), CommunicationError);
  });
}

TEST(LocalWorld, RefusesAMessageOfAnotherSize) {
  auto world = make_local_world(2, {.timeout = std::chrono::seconds(5)});
  test::Device device;
  const auto small = device.filled({1, 1}, kernels::Dtype::f32, 1),
             large = device.filled({1, 2}, kernels::Dtype::f32, 1);
  world[0]->send(*device.stream, small, 1);
  world[1]->receive(*device.stream, large, 0);
  EXPECT_THROW(device.stream->synchronize(), CommunicationError);
}

}  // namespace
}  // namespace trireme::runtime
