// The same promises, between processes. Run under mpirun with 1 to 4 ranks.
#include <mpi.h>

#include <thread>

#include "tests/runtime/communicator_contract.h"

namespace trireme::runtime {
namespace {

class MpiWorldTest : public testing::Test {
 protected:
  void holds(void (*promise)(test::Device&, Communicator&)) {
    const auto world = make_mpi_world({.timeout = std::chrono::seconds(30)});
    test::Device device;
    promise(device, *world);
  }
};

TEST_F(MpiWorldTest, SumsOverAllRanks) { holds(test::all_reduce_sums); }
TEST_F(MpiWorldTest, SumsNumbers) { holds(test::numbers_are_summed); }
TEST_F(MpiWorldTest, FindsTheLargestNumbers) {
  holds(test::the_largest_numbers_are_found_and_nan_is_kept);
}
TEST_F(MpiWorldTest, ReducesAndScatters) {
  holds(test::reduce_scatter_then_all_gather_is_all_reduce);
}
TEST_F(MpiWorldTest, ReducesAndScattersInPlace) {
  holds(test::reduce_scatter_and_all_gather_work_in_place);
}
TEST_F(MpiWorldTest, Broadcasts) { holds(test::broadcast_copies_from_the_root); }
TEST_F(MpiWorldTest, TransposesBetweenRanks) { holds(test::all_to_all_transposes); }
TEST_F(MpiWorldTest, ExchangesAroundARing) { holds(test::neighbors_exchange_around_a_ring); }
TEST_F(MpiWorldTest, KeepsTheOrderOfMessages) { holds(test::sends_and_receives_keep_their_order); }
TEST_F(MpiWorldTest, Splits) { holds(test::split_forms_groups_in_rank_order); }

TEST_F(MpiWorldTest, FailsWithATimeoutWhenAPeerIsLate) {
  const auto patient = make_mpi_world({.timeout = std::chrono::seconds(30)});
  const auto world = patient->split(0, "impatient", {.timeout = std::chrono::milliseconds(100)});
  if (world->size() == 1) return;  // alone there is nobody to be late
  test::Device device;
  const auto data = device.filled({1, 1}, kernels::Dtype::f32, 1);
  if (world->rank() == 0) {
    world->receive(*device.stream, data, 1);
    EXPECT_THROW(device.stream->synchronize(), CommunicationError);
  } else {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  }
  // What rank 0 gave up waiting for arrives after all, so that MPI has nothing left open.
  if (world->rank() == 1) world->send(*device.stream, data, 0);
  device.stream->synchronize();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  MPI_Barrier(MPI_COMM_WORLD);
}

TEST_F(MpiWorldTest, FailsWithATimeoutWhenAPeerDoesNotComeToMakeAGroup) {
  const auto patient = make_mpi_world({.timeout = std::chrono::seconds(30)});
  const auto world = patient->split(0, "impatient", {.timeout = std::chrono::milliseconds(100)});
  if (world->size() == 1) return;
  if (world->rank() == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  } else {
    try {
      world->split(0, "another");
      ADD_FAILURE() << "there is nobody to make it with";
    } catch (const CommunicationError& error) {
      EXPECT_NE(std::string(error.what()).find("group impatient (ranks 0, 1"), std::string::npos)
          << error.what();
    }
  }
  MPI_Barrier(MPI_COMM_WORLD);
}

}  // namespace
}  // namespace trireme::runtime

int main(int argc, char** argv) {
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
  testing::InitGoogleTest(&argc, argv);
  int failed = RUN_ALL_TESTS();
  MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
  MPI_Finalize();
  return failed;
}
