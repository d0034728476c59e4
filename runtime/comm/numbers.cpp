#include "runtime/comm/numbers.h"

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

void reduce_numbers(kernels::Backend& backend, kernels::Stream& stream, Communicator& group,
                    std::span<double> numbers, Reduction reduction) {
  on_device(backend, stream, numbers,
            [&](kernels::View device) { group.all_reduce(stream, device, reduction); });
}

void broadcast_numbers(kernels::Backend& backend, kernels::Stream& stream, Communicator& group,
                       std::span<double> numbers, int root) {
  on_device(backend, stream, numbers,
            [&](kernels::View device) { group.broadcast(stream, device, root); });
}

}  // namespace trireme::runtime
