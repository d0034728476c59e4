#pragma once

#include <map>

#include "models/split.h"
#include "runtime/comm/mesh.h"
#include "runtime/model/parameter_buffers.h"

namespace trireme::runtime {

// Adds up, over the ranks of one replica, the layers and the parameters that they hold, each
// parameter counted once, and holds the sums against the model: no layer is missing and none is
// built twice. Throws ContractViolation with both sums if they differ. Collective.
void check_conservation(kernels::Backend& backend, kernels::Stream& stream, const Mesh& mesh,
                        const models::Shape& shape, const ParameterBuffers& buffers,
                        const std::map<int, models::LayerRange>& stages);

}  // namespace trireme::runtime
