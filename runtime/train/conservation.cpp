#include "runtime/train/conservation.h"

#include <array>
#include <string>

#include "kernels/check.h"
#include "runtime/comm/numbers.h"

namespace trireme::runtime {

void check_conservation(kernels::Backend& backend, kernels::Stream& stream, const Mesh& mesh,
                        const models::Shape& shape, const ParameterBuffers& buffers,
                        const std::map<int, models::LayerRange>& stages) {
  std::array<double, 3> held{0, 0, 0};  // parameters, layers, ends
  const bool first_replica =
      mesh.coordinate(Axis::data) == 0 && mesh.coordinate(Axis::context) == 0;
  for (const auto& slot : buffers.slots()) {
    if (first_replica && slot.shard.is_counted) held[0] += static_cast<double>(slot.size());
  }
  for (const auto& [number, layers] : stages) {
    if (!first_replica || mesh.coordinate(Axis::tensor) > 0) continue;
    held[1] += layers.count;
    held[2] += (layers.embedding ? 1 : 0) + (layers.head ? 1 : 0);
  }
  sum_numbers(backend, stream, mesh.world(), held);
  const std::array<double, 3> whole{static_cast<double>(models::parameter_count(shape)),
                                    static_cast<double>(shape.num_hidden_layers), 2};
  if (held == whole) return;
  const auto text = [](const std::array<double, 3>& sums_of) {
    return std::to_string(static_cast<std::int64_t>(sums_of[0])) + " parameters, " +
           std::to_string(static_cast<std::int64_t>(sums_of[1])) + " layers and " +
           std::to_string(static_cast<std::int64_t>(sums_of[2])) + " ends";
  };
  throw kernels::ContractViolation("the ranks of a replica hold " + text(held) +
                                   ", the model has " + text(whole));
}

}  // namespace trireme::runtime
