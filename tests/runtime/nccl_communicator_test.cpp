// What NCCL carries between devices: the promises of every communicator.
#include <nccl.h>

#include <atomic>
#include <functional>
#include <future>
#include <thread>

#include "runtime/comm/local_world.h"
#include "runtime/comm/nccl/last_resort.h"
#include "runtime/comm/nccl_world.h"
#include "tests/runtime/communicator_contract.h"

namespace trireme::runtime {
namespace {

// Each rank with a device of its own; the group is all of them.
void on_nccl_ranks(int size, CommunicatorOptions options,
                   const std::function<void(test::Device&, Communicator&)>& body) {
  auto world = make_local_world(size);
  std::vector<std::jthread> threads;
  for (auto& rank : world) {
    threads.emplace_back([&] {
      test::Device device;
      const auto world = make_nccl(std::move(rank), *device.backend, options);
      const auto group = world->split(0, "all");
      body(device, *group);
    });
  }
}

class NcclTest : public testing::TestWithParam<int> {
 protected:
  void holds(void (*promise)(test::Device&, Communicator&)) {
    on_nccl_ranks(GetParam(), {.timeout = std::chrono::seconds(30)}, promise);
  }
};

TEST_P(NcclTest, SumsOverAllRanks) { holds(test::all_reduce_sums); }
TEST_P(NcclTest, SumsNumbers) { holds(test::numbers_are_summed); }
TEST_P(NcclTest, FindsTheLargestNumbers) {
  holds(test::the_largest_numbers_are_found_and_nan_is_kept);
}
TEST_P(NcclTest, ReducesAndScatters) { holds(test::reduce_scatter_then_all_gather_is_all_reduce); }
TEST_P(NcclTest, ReducesAndScattersInPlace) {
  holds(test::reduce_scatter_and_all_gather_work_in_place);
}
TEST_P(NcclTest, Broadcasts) { holds(test::broadcast_copies_from_the_root); }
TEST_P(NcclTest, TransposesBetweenRanks) { holds(test::all_to_all_transposes); }
TEST_P(NcclTest, ExchangesAroundARing) { holds(test::neighbors_exchange_around_a_ring); }
TEST_P(NcclTest, KeepsTheOrderOfMessages) {
  // Who is alone can only exchange with itself, sending and receiving in one call.
  if (GetParam() > 1) holds(test::sends_and_receives_keep_their_order);
}
TEST_P(NcclTest, Splits) { holds(test::split_forms_groups_in_rank_order); }

INSTANTIATE_TEST_SUITE_P(Sizes, NcclTest, testing::Values(1, 2, 3, 4));

std::string failure_of(kernels::Stream& stream) {
  try {
    stream.synchronize();
  } catch (const CommunicationError& error) {
    return error.what();
  }
  return "";
}

TEST(NcclCommunicator, CarriesWhatIsSeldomThroughTheHost) {
  on_nccl_ranks(2, {.timeout = std::chrono::seconds(30)},
                [](test::Device& device, Communicator& all) {
                  const auto seldom = all.split(0, "seldom", {.seldom = true});
                  test::all_reduce_sums(device, *seldom);
                  test::split_forms_groups_in_rank_order(device, *seldom);
                });
}

TEST(NcclCommunicator, FailsWithATimeoutWhenAPeerIsLateAndDoesNotHang) {
  on_nccl_ranks(2, {.timeout = std::chrono::milliseconds(200)},
                [](test::Device& device, Communicator& world) {
                  const auto data = device.filled({1, 1}, kernels::Dtype::f32, 1);
                  if (world.rank() == 1) return;
                  world.all_reduce(*device.stream, data);
                  EXPECT_EQ(failure_of(*device.stream),
                            "rank 0 of group all waited 200 ms for its peers in all_reduce");
                  // The group is lost, the stream is not.
                  EXPECT_EQ(device.values(data), std::vector<double>{1});
                  EXPECT_THROW(world.all_reduce(*device.stream, data), CommunicationError);
                });
}

TEST(NcclCommunicator, GivesUpAllGroupsOnceOneIsLost) {
  on_nccl_ranks(
      2, {.timeout = std::chrono::milliseconds(200)},
      [](test::Device& device, Communicator& world) {
        const auto patient = world.split(0, "patient", {.timeout = std::chrono::minutes(10)});
        const auto other_stream = device.backend->make_stream();
        const auto data = device.filled({1, 1}, kernels::Dtype::f32, 1);
        const auto other = device.filled({1, 1}, kernels::Dtype::f32, 1);
        if (world.rank() == 1) return;
        world.all_reduce(*device.stream, data);
        patient->all_reduce(*other_stream, other);
        const std::string why = "rank 0 of group all waited 200 ms for its peers in all_reduce";
        EXPECT_EQ(failure_of(*device.stream), why);
        EXPECT_EQ(failure_of(*other_stream), why);
        EXPECT_THROW(patient->all_reduce(*other_stream, other), CommunicationError);
      });
}

TEST(NcclCommunicator, DoesNotBlameAPeerForTheWorkBeforeAnOperation) {
  on_nccl_ranks(2, {.timeout = std::chrono::milliseconds(100)},
                [](test::Device& device, Communicator& world) {
                  const auto data = device.filled({1, 1}, kernels::Dtype::f32, 1);
                  const auto hold = device.backend->hold(*device.stream);
                  world.all_reduce(*device.stream, data);
                  std::this_thread::sleep_for(std::chrono::milliseconds(300));
                  hold->end(nullptr);
                  EXPECT_EQ(failure_of(*device.stream), "");
                  EXPECT_EQ(device.values(data), std::vector<double>{2});
                });
}

TEST(NcclCommunicator, FailsOnceNcclKnowsThatAPeerIsLost) {
  on_nccl_ranks(2, {.timeout = std::chrono::minutes(1)},
                [](test::Device& device, Communicator& world) {
                  const auto data = device.filled({1, 1}, kernels::Dtype::f32, 1);
                  if (world.rank() == 1) return;
                  world.all_reduce(*device.stream, data);
                  nccl_peers_are_lost = true;
                  const std::string failure = failure_of(*device.stream);
                  nccl_peers_are_lost = false;
                  EXPECT_NE(failure.find("rank 0 of group all, communicating: NCCL: remote"),
                            std::string::npos)
                      << failure;
                });
}

TEST(NcclCommunicator, EndsTheProcessWhenGivingUpHangs) {
  std::promise<std::string> ended;
  const CommunicatorOptions options{
      .timeout = std::chrono::milliseconds(100),
      .end_process = [&](const std::string& why) { ended.set_value(why); },
      .end_process_after = std::chrono::seconds(1)};
  nccl_aborts_hang = true;
  auto world = make_local_world(2);
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < 2; ++rank) {
    threads.emplace_back([&, rank] {
      test::Device device;
      const auto nccl = make_nccl(std::move(world[static_cast<std::size_t>(rank)]), *device.backend,
                                  rank == 0 ? options : CommunicatorOptions())
                            ->split(0, "all");
      const auto data = device.filled({1, 1}, kernels::Dtype::f32, 1);
      if (rank == 1) return;
      nccl->all_reduce(*device.stream, data);
      EXPECT_EQ(ended.get_future().get(),
                "rank 0 of group all waited 100 ms for its peers in all_reduce, and giving up "
                "hangs");
      nccl_aborts_hang = false;
      EXPECT_NE(failure_of(*device.stream), "");
    });
  }
}

TEST(LastResort, LetsWhoIsAliveGoOn) {
  std::atomic<bool> ended = false;
  LastResort last_resort(std::chrono::milliseconds(400), [&](const std::string&) { ended = true; });
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    last_resort.alive();
  }
  EXPECT_FALSE(ended);
}

TEST(NcclCommunicator, SaysWhoseGroupDoesNotForm) {
  auto world = make_local_world(2);
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < 2; ++rank) {
    threads.emplace_back([&, rank] {
      test::Device device;
      auto& mine = world[static_cast<std::size_t>(rank)];
      if (rank == 1) {  // takes the id and is gone
        std::vector<std::int32_t> id(32);
        kernels::View view(id.data(), {1, 32}, kernels::Dtype::i32);
        const auto host = kernels::make_cpu_backend();
        const auto stream = host->make_stream();
        const auto staged = mine->split(0, "world");
        const auto all = mine->split(0, "all");
        all->broadcast(*stream, view, 0);
        return stream->synchronize();
      }
      try {
        make_nccl(std::move(mine), *device.backend, {.timeout = std::chrono::milliseconds(100)})
            ->split(0, "all");
        FAIL() << "a group of one of two ranks";
      } catch (const CommunicationError& error) {
        EXPECT_STREQ(error.what(),
                     "rank 0 of group all waited 100 ms for its peers in making the group");
      }
    });
  }
}

}  // namespace
}  // namespace trireme::runtime
