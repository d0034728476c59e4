#include "runtime/comm/communicator.h"

namespace trireme::runtime {

void Communicator::send(kernels::Stream& stream, kernels::View data, int to) {
  const Message message{to, data};
  exchange(stream, {&message, 1}, {});
}

void Communicator::receive(kernels::Stream& stream, kernels::View data, int from) {
  const Message message{from, data};
  exchange(stream, {}, {&message, 1});
}

}  // namespace trireme::runtime
