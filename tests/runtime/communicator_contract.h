#pragma once

#include <gtest/gtest.h>

#include <numeric>

#include "runtime/comm/communicator.h"
#include "runtime/comm/numbers.h"
#include "tests/support/device.h"

// What every communicator promises, whatever carries the bytes.
namespace trireme::test {

using runtime::Communicator;

// Element i of rank r's input.
inline double element(int rank, std::int64_t i) {
  return static_cast<double>((rank + 1) * 7 + i % 11);
}

inline std::vector<double> elements(int rank, std::int64_t count) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(element(rank, i));
  return values;
}

inline std::vector<double> summed(int ranks, std::int64_t count) {
  std::vector<double> total(static_cast<std::size_t>(count), 0.0);
  for (int rank = 0; rank < ranks; ++rank) {
    for (std::int64_t i = 0; i < count; ++i) total[static_cast<std::size_t>(i)] += element(rank, i);
  }
  return total;
}

// Sizes below, at and far above a segment of a ring, divisible by the ranks and not.
inline void all_reduce_sums(Device& device, Communicator& world) {
  for (const Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::bf16}) {
    for (const std::int64_t count : {1, 3, 1000, 700001}) {
      const Tensor data = device.tensor({1, count}, dtype, elements(world.rank(), count));
      world.all_reduce(*device.stream, data);
      EXPECT_EQ(device.values(data), summed(world.size(), count)) << count;
    }
  }
}

inline void numbers_are_summed(Device& device, Communicator& world) {
  std::vector<double> numbers{1, 0.5 * world.rank()};
  runtime::sum_numbers(*device.backend, *device.stream, world, numbers);
  const double size = world.size();
  EXPECT_EQ(numbers, (std::vector<double>{size, 0.25 * size * (size - 1)}));
}

inline void the_largest_numbers_are_found_and_nan_is_kept(Device& device, Communicator& world) {
  const double rank = world.rank();
  std::vector<double> numbers{rank, -rank, 5, world.rank() == 0 ? NAN : 1};
  runtime::largest_numbers(*device.backend, *device.stream, world, numbers);
  EXPECT_EQ(std::vector(numbers.begin(), numbers.begin() + 3),
            (std::vector<double>{world.size() - 1.0, 0, 5}));
  EXPECT_TRUE(std::isnan(numbers[3]));
}

inline void reduce_scatter_then_all_gather_is_all_reduce(Device& device, Communicator& world) {
  for (const std::int64_t part : {1, 5, 200003}) {
    const std::int64_t count = part * world.size();
    const Tensor all = device.tensor({1, count}, Dtype::f32, elements(world.rank(), count));
    const Tensor mine = device.filled({1, part}, Dtype::f32, NAN);
    const Tensor gathered = device.filled({1, count}, Dtype::f32, NAN);
    world.reduce_scatter(*device.stream, all, mine);
    world.all_gather(*device.stream, mine, gathered);
    EXPECT_EQ(device.values(gathered), summed(world.size(), count));
  }
}

inline void reduce_scatter_and_all_gather_work_in_place(Device& device, Communicator& world) {
  const std::int64_t part = 64, count = part * world.size();
  const Tensor all = device.tensor({1, count}, Dtype::f32, elements(world.rank(), count));
  const View mine = all.view().column_range(part * world.rank(), part);
  world.reduce_scatter(*device.stream, all, mine);
  world.all_gather(*device.stream, mine, all);
  EXPECT_EQ(device.values(all), summed(world.size(), count));
}

inline void broadcast_copies_from_the_root(Device& device, Communicator& world) {
  for (int root = 0; root < world.size(); ++root) {
    const Tensor data = device.tensor({1, 999}, Dtype::bf16, elements(world.rank(), 999));
    world.broadcast(*device.stream, data, root);
    EXPECT_EQ(device.values(data), elements(root, 999));
  }
}

inline void all_to_all_transposes(Device& device, Communicator& world) {
  const int size = world.size();
  std::vector<double> mine, expected;
  for (int peer = 0; peer < size; ++peer) {
    mine.push_back(100.0 * world.rank() + peer);
    expected.push_back(100.0 * peer + world.rank());
  }
  const Tensor sent = device.tensor({1, size}, Dtype::f32, mine);
  const Tensor received = device.filled({1, size}, Dtype::f32, NAN);
  world.all_to_all(*device.stream, sent, received);
  EXPECT_EQ(device.values(received), expected);
}

inline void neighbors_exchange_around_a_ring(Device& device, Communicator& world) {
  const int next = (world.rank() + 1) % world.size();
  const int previous = (world.rank() + world.size() - 1) % world.size();
  const Tensor out = device.tensor({1, 50000}, Dtype::f32, elements(world.rank(), 50000));
  const Tensor in = device.filled({1, 50000}, Dtype::f32, NAN);
  const runtime::Message send{next, out}, receive{previous, in};
  world.exchange(*device.stream, {&send, 1}, {&receive, 1});
  EXPECT_EQ(device.values(in), elements(previous, 50000));
}

// Messages of one pair arrive in order; a send on one stream and a receive on another cannot wait
// for each other.
inline void sends_and_receives_keep_their_order(Device& device, Communicator& world) {
  const int next = (world.rank() + 1) % world.size();
  const int previous = (world.rank() + world.size() - 1) % world.size();
  const auto receiving = device.backend->make_stream();
  std::vector<Tensor> out, in;
  for (int i = 0; i < 5; ++i) {
    out.push_back(device.filled({1, 40000}, Dtype::f32, 10.0 * world.rank() + i));
    in.push_back(device.filled({1, 40000}, Dtype::f32, NAN));
  }
  for (const Tensor& message : out) world.send(*device.stream, message, next);
  for (const Tensor& message : in) world.receive(*receiving, message, previous);
  receiving->synchronize();
  device.stream->synchronize();
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(device.values(in[static_cast<std::size_t>(i)])[39999], 10.0 * previous + i);
  }
}

inline void split_forms_groups_in_rank_order(Device& device, Communicator& world) {
  const auto group = world.split(world.rank() % 2, "parity");
  EXPECT_EQ(group->name(), "parity");
  EXPECT_EQ(group->rank(), world.rank() / 2);
  EXPECT_EQ(group->size(), (world.size() + 1 - world.rank() % 2) / 2);
  const Tensor data = device.filled({1, 1}, Dtype::f32, world.rank());
  group->all_reduce(*device.stream, data);
  double expected = 0;
  for (int rank = world.rank() % 2; rank < world.size(); rank += 2) expected += rank;
  EXPECT_EQ(device.values(data)[0], expected);
}

}  // namespace trireme::test
