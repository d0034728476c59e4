#include "runtime/comm/numbers.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace trireme::runtime {
namespace {

template <class Collective>
void on_device(kernels::Backend& backend, kernels::Stream& stream, std::span<double> numbers,
               const Collective& collective) {
  const kernels::Tensor device =
      backend.allocate(stream, {1, static_cast<std::int64_t>(numbers.size())}, kernels::Dtype::f64,
                       kernels::Category::workspace);
  backend.upload(stream, std::as_bytes(numbers), device);
  collective(device);
  backend.download(stream, device, std::as_writable_bytes(numbers));
  stream.synchronize();
}

}  // namespace

void sum_numbers(kernels::Backend& backend, kernels::Stream& stream, Communicator& group,
                 std::span<double> numbers) {
  on_device(backend, stream, numbers,
            [&](kernels::View device) { group.all_reduce(stream, device); });
}

void largest_numbers(kernels::Backend& backend, kernels::Stream& stream, Communicator& group,
                     std::span<double> numbers) {
  const std::size_t count = numbers.size();
  std::vector<double> all(count * static_cast<std::size_t>(group.size()));
  const auto mine = static_cast<std::size_t>(group.rank()) * count;
  std::ranges::copy(numbers, all.begin() + static_cast<std::ptrdiff_t>(mine));
  on_device(backend, stream, all, [&](kernels::View device) {
    group.all_gather(
        stream,
        device.column_range(static_cast<std::int64_t>(mine), static_cast<std::int64_t>(count)),
        device);
  });
  for (std::size_t i = 0; i < all.size(); ++i) {
    double& largest = numbers[i % count];
    if (std::isnan(all[i]) || all[i] > largest) largest = all[i];
  }
}

void broadcast_numbers(kernels::Backend& backend, kernels::Stream& stream, Communicator& group,
                       std::span<double> numbers, int root) {
  on_device(backend, stream, numbers,
            [&](kernels::View device) { group.broadcast(stream, device, root); });
}

}  // namespace trireme::runtime
