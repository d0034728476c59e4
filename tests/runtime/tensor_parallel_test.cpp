#include "runtime/model/tensor_parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/device.h"
#include "tests/support/forwarding_communicator.h"
#include "tests/support/ranks.h"

namespace trireme::runtime {
namespace {

using kernels::Dtype;
using kernels::Tensor;

bool reached_soon(const kernels::Event& event) {
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!event.reached() && std::chrono::steady_clock::now() < patience) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return event.reached();
}

// Keeps the ends of the sums it was given.
class WatchedSums final : public test::ForwardingCommunicator {
 public:
  using ForwardingCommunicator::ForwardingCommunicator;

  void all_reduce(kernels::Stream& stream, kernels::View data) override {
    ForwardingCommunicator::all_reduce(stream, data);
    ends.push_back(stream.record());
  }
  void reduce_scatter(kernels::Stream& stream, kernels::View all, kernels::View mine) override {
    ForwardingCommunicator::reduce_scatter(stream, all, mine);
    ends.push_back(stream.record());
  }

  std::vector<std::shared_ptr<const kernels::Event>> ends;

 private:
  std::unique_ptr<Communicator> wrap(std::unique_ptr<Communicator> group) override { return group; }
};

// With the sequence shared or not.
class TensorParallelTest : public testing::TestWithParam<bool> {
 protected:
  // Each rank's summand for four tokens of two channels.
  static Tensor summand(test::Device& device, int rank) {
    return device.tensor({4, 2}, Dtype::f64, rank == 0 ? kFirst : kSecond);
  }

  // What a rank has of (4, 2) values.
  static std::vector<double> share(const std::vector<double>& all, int rank) {
    if (!GetParam()) return all;
    const auto first = all.begin() + rank * 4;
    return {first, first + 4};
  }

  // So many rows that a micro-batch is one piece.
  static constexpr std::int64_t kWhole = 1000;
  static inline const std::vector<double> kFirst{1, 2, 3, 4, 5, 6, 7, 8};
  static inline const std::vector<double> kSecond{10, 20, 30, 40, 50, 60, 70, 80};
  static inline const std::vector<double> kSums{11, 22, 33, 44, 55, 66, 77, 88};
};

TEST_P(TensorParallelTest, WorkBehindABegunSumDoesNotWaitForTheOtherRank) {
  std::atomic<bool> worked = false;
  test::on_ranks(2, [&](Communicator& world) {
    test::Device device;
    TensorParallel ranks(*device.backend, world, GetParam(), kWhole);
    Tensor mine = summand(device, world.rank());
    if (world.rank() == 1) {
      while (!worked) std::this_thread::yield();
    }
    auto sum = ranks.begin_sum(*device.stream, std::move(mine));
    if (world.rank() == 0) {
      EXPECT_TRUE(reached_soon(*device.stream->record()));
      worked = true;
    }
    EXPECT_EQ(device.values(sum.finish()), share(kSums, world.rank()));
  });
}

TEST_P(TensorParallelTest, WhatIsBegunAndWhatIsNotKeepTheirOrder) {
  test::on_ranks(2, [&](Communicator& world) {
    test::Device device;
    TensorParallel ranks(*device.backend, world, GetParam(), kWhole);
    const std::vector<double> all{1, 2, 3, 4, 5, 6, 7, 8};
    const Tensor tokens =
        device.tensor({GetParam() ? 2 : 4, 2}, Dtype::f64, share(all, world.rank()));
    auto begun = ranks.begin_gather(*device.stream, tokens);
    auto sum = ranks.begin_sum(*device.stream, summand(device, world.rank()));
    const Tensor direct = ranks.sum(*device.stream, summand(device, world.rank()));
    EXPECT_EQ(device.values(direct), share(kSums, world.rank()));
    EXPECT_EQ(device.values(sum.finish()), share(kSums, world.rank()));
    EXPECT_EQ(device.values(begun.finish().all), all);
  });
}

// A micro-batch of eight tokens is cut into four pieces, of which each rank has one token of two.
class PiecesTest : public TensorParallelTest {
 protected:
  static constexpr std::int64_t kPiece = 2;
  static inline const std::vector<double> kTokens{0, 1, 2, 3, 4, 5, 6, 7};

  static std::vector<double> mine(int rank) {
    if (!GetParam()) return kTokens;
    std::vector<double> tokens;
    for (int i = 0; i < 4; ++i) tokens.push_back(2 * i + rank);
    return tokens;
  }

  // Counts the pieces it multiplies.
  static Product times_ten(test::Device& device, int& pieces) {
    return [&device, &pieces](kernels::View in, kernels::View out) {
      ++pieces;
      const Tensor ten = device.filled({1, 1}, Dtype::f64, 10);
      device.run(kernels::Matmul{.a = in, .b = ten, .out = out});
    };
  }

  static std::vector<double> times(double factor, std::vector<double> values) {
    for (double& value : values) value *= factor;
    return values;
  }
};

TEST_P(PiecesTest, AreGatheredInTheOrderOfTheTokens) {
  test::on_ranks(2, [&](Communicator& world) {
    test::Device device;
    TensorParallel ranks(*device.backend, world, GetParam(), kPiece);
    const auto held = mine(world.rank());
    const Tensor tokens =
        device.tensor({static_cast<std::int64_t>(held.size()), 1}, Dtype::f64, held);
    const Tensor out = device.filled({8, 1}, Dtype::f64, -1);
    int pieces = 0;
    const Gathered all =
        ranks.begin_gather(*device.stream, tokens).finish_into(times_ten(device, pieces), out);
    EXPECT_EQ(pieces, GetParam() ? 4 : 1);  // what is there needs no pieces
    EXPECT_EQ(device.values(all.all), kTokens);
    EXPECT_EQ(device.values(out), times(10, kTokens));
    EXPECT_EQ(device.values(ranks.gather(*device.stream, tokens).all), kTokens);
  });
}

TEST_P(PiecesTest, AreSummedWhereTheirTokensAre) {
  test::on_ranks(2, [&](Communicator& world) {
    test::Device device;
    TensorParallel ranks(*device.backend, world, GetParam(), kPiece);
    const Tensor in = device.tensor({8, 1}, Dtype::f64, kTokens);
    int pieces = 0;
    const Tensor sum = ranks.sum_of(*device.stream, in, times_ten(device, pieces),
                                    device.empty({8, 1}, Dtype::f64));
    EXPECT_EQ(pieces, 4);
    EXPECT_EQ(device.values(sum), times(20, mine(world.rank())));
    EXPECT_EQ(device.values(ranks.sum(*device.stream, device.tensor({8, 1}, Dtype::f64, kTokens))),
              times(2, mine(world.rank())));
    auto begun = ranks.begin_sum(*device.stream, device.tensor({8, 1}, Dtype::f64, kTokens));
    EXPECT_EQ(device.values(begun.finish()), times(2, mine(world.rank())));
  });
}

TEST_P(PiecesTest, LeaveBeforeTheNextAreMade) {
  test::on_ranks(2, [&](Communicator& world) {
    test::Device device;
    WatchedSums watched(world);
    TensorParallel ranks(*device.backend, watched, GetParam(), kPiece);
    const Tensor in = device.tensor({8, 1}, Dtype::f64, kTokens);
    int pieces = 0;
    const Product product = times_ten(device, pieces);
    const auto after_the_last = [&](kernels::View from, kernels::View to) {
      if (!watched.ends.empty()) {
        EXPECT_TRUE(reached_soon(*watched.ends.back()));
      }
      product(from, to);
    };
    const Tensor sum =
        ranks.sum_of(*device.stream, in, after_the_last, device.empty({8, 1}, Dtype::f64));
    EXPECT_EQ(watched.ends.size(), 4u);
    EXPECT_EQ(device.values(sum), times(20, mine(world.rank())));
  });
}

TEST_P(PiecesTest, DoNotCutWhatDoesNotComeOutEven) {
  test::on_ranks(2, [&](Communicator& world) {
    test::Device device;
    TensorParallel ranks(*device.backend, world, GetParam(), kPiece);
    const Tensor in = device.filled({6, 1}, Dtype::f64, 1);
    int pieces = 0;
    const Tensor sum = ranks.sum_of(*device.stream, in, times_ten(device, pieces),
                                    device.empty({6, 1}, Dtype::f64));
    EXPECT_EQ(pieces, 3);
    EXPECT_EQ(device.values(sum), std::vector<double>(GetParam() ? 3 : 6, 20));
    const Tensor odd = device.filled({10, 1}, Dtype::f64, 1);
    pieces = 0;
    ranks.sum_of(*device.stream, odd, times_ten(device, pieces), device.empty({10, 1}, Dtype::f64));
    EXPECT_EQ(pieces, GetParam() ? 1 : 2);  // of five tokens, two ranks cannot have as many each
  });
}

INSTANTIATE_TEST_SUITE_P(Sequence, PiecesTest, testing::Bool());

// Memory would leave under the collective otherwise.
TEST_P(TensorParallelTest, WhatIsDroppedIsFinishedFirst) {
  std::atomic<bool> dropped = false;
  test::on_ranks(2, [&](Communicator& world) {
    test::Device device;
    TensorParallel ranks(*device.backend, world, GetParam(), kWhole);
    Tensor mine = summand(device, world.rank());
    if (world.rank() == 1) {
      while (!dropped) std::this_thread::yield();
    }
    { const auto forgotten = ranks.begin_sum(*device.stream, std::move(mine)); }
    const auto behind = device.stream->record();
    if (world.rank() == 0) {
      EXPECT_FALSE(behind->reached());
      dropped = true;
    }
    device.stream->synchronize();
    EXPECT_EQ(device.backend->memory().of(kernels::Category::activations).current, 0);
  });
}

INSTANTIATE_TEST_SUITE_P(Sequence, TensorParallelTest, testing::Bool());

}  // namespace
}  // namespace trireme::runtime
