#include "runtime/train/conservation.h"

#include <gtest/gtest.h>

#include "kernels/check.h"
#include "tests/support/model.h"
#include "tests/support/ranks.h"

namespace trireme::runtime {
namespace {

// Two pipeline ranks that hold these layers: what the check says on the first.
std::string verdict(const models::Shape& shape, const std::vector<models::LayerRange>& stages) {
  std::string message;
  test::on_ranks(2, [&](Communicator& world) {
    test::Device device;
    MeshShape mesh_shape;
    mesh_shape.sizes[static_cast<std::size_t>(Axis::pipeline)] = 2;
    const Mesh mesh(world, mesh_shape);
    const models::LayerRange mine = stages[static_cast<std::size_t>(world.rank())];
    const ParameterBuffers buffers(*device.backend, *device.stream,
                                   models::shards_of(shape, {models::units_of(shape, mine)}, 0, 1),
                                   {});
    try {
      check_conservation(*device.backend, *device.stream, mesh, shape, buffers,
                         {{world.rank(), mine}});
    } catch (const kernels::ContractViolation& error) {
      if (world.rank() == 0) message = error.what();
    }
  });
  return message;
}

TEST(Conservation, HoldsWhereEveryLayerIsBuiltOnce) {
  for (const models::Shape& shape : {test::tiny_llama(), test::tiny_gpt2()}) {
    EXPECT_EQ(verdict(shape, models::split_layers(shape, 2, models::unit_flops(shape, 8))), "");
  }
}

TEST(Conservation, NoticesALayerThatIsMissing) {
  const std::string found = verdict(
      test::tiny_llama(),
      {{.first = 0, .count = 1, .embedding = true}, {.first = 1, .count = 0, .head = true}});
  EXPECT_NE(found.find("1 layers and 2 ends, the model has"), std::string::npos) << found;
}

TEST(Conservation, NoticesALayerThatIsBuiltTwice) {
  const std::string found = verdict(
      test::tiny_llama(),
      {{.first = 0, .count = 2, .embedding = true}, {.first = 1, .count = 1, .head = true}});
  EXPECT_NE(found.find("3 layers and 2 ends, the model has"), std::string::npos) << found;
}

}  // namespace
}  // namespace trireme::runtime
