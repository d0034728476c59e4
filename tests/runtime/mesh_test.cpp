#include "runtime/comm/mesh.h"

#include <gtest/gtest.h>

#include "tests/support/ranks.h"

namespace trireme::runtime {
namespace {

MeshShape shape_of(int tensor, int context, int data, int pipeline) {
  MeshShape shape;
  shape.sizes = {tensor, context, data, pipeline};
  return shape;
}

TEST(MeshShape, TheFirstAxisOfTheOrderVariesFastest) {
  MeshShape shape = shape_of(2, 1, 3, 2);
  EXPECT_EQ(shape.world(), 12);
  EXPECT_EQ(shape.coordinate(7, Axis::tensor), 1);
  EXPECT_EQ(shape.coordinate(7, Axis::data), 0);
  EXPECT_EQ(shape.coordinate(7, Axis::pipeline), 1);
  shape.order = {Axis::pipeline, Axis::data, Axis::context, Axis::tensor};
  EXPECT_EQ(shape.coordinate(7, Axis::pipeline), 1);
  EXPECT_EQ(shape.coordinate(7, Axis::data), 0);
  EXPECT_EQ(shape.coordinate(7, Axis::tensor), 1);
}

TEST(MeshShape, RanksOfAGroupDifferAlongItsAxisOnly) {
  const MeshShape shape = shape_of(2, 2, 3, 2);
  for (const Axis axis : {Axis::tensor, Axis::context, Axis::data, Axis::pipeline}) {
    for (int a = 0; a < shape.world(); ++a) {
      for (int b = 0; b < shape.world(); ++b) {
        bool same_elsewhere = true;
        for (const Axis other : shape.order) {
          if (other != axis)
            same_elsewhere &= shape.coordinate(a, other) == shape.coordinate(b, other);
        }
        EXPECT_EQ(shape.color(a, axis) == shape.color(b, axis), same_elsewhere);
      }
    }
  }
}

TEST(Mesh, GivesEveryRankItsGroups) {
  const MeshShape shape = shape_of(2, 1, 3, 2);
  test::on_ranks(12, [&](Communicator& world) {
    const Mesh mesh(world, shape);
    for (const Axis axis : shape.order) {
      EXPECT_EQ(mesh.group(axis).size(), shape.size(axis));
      EXPECT_EQ(mesh.group(axis).rank(), mesh.coordinate(axis));
      EXPECT_EQ(mesh.group(axis).name(), name_of(axis));
    }
  });
}

TEST(Mesh, RefusesAWorldOfAnotherSize) {
  test::on_ranks(2, [](Communicator& world) {
    EXPECT_THROW(Mesh(world, shape_of(2, 2, 1, 1)), kernels::ContractViolation);
  });
}

}  // namespace
}  // namespace trireme::runtime
