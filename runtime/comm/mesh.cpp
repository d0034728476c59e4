#include "runtime/comm/mesh.h"

#include "kernels/check.h"

namespace trireme::runtime {

int MeshShape::world() const {
  int ranks = 1;
  for (const int size : sizes) ranks *= size;
  return ranks;
}

int MeshShape::coordinate(int rank, Axis axis) const {
  for (const Axis faster : order) {
    if (faster == axis) return rank % size(axis);
    rank /= size(faster);
  }
  throw kernels::ContractViolation("mesh: the order names every axis once");
}

int MeshShape::color(int rank, Axis axis) const {
  int color = 0;
  for (const Axis other : order) {
    if (other != axis) color = color * size(other) + coordinate(rank, other);
  }
  return color;
}

Mesh::Mesh(Communicator& world, MeshShape shape)
    : world_(world), shape_(shape), rank_(world.rank()) {
  kernels::expects(shape.world() == world.size(), "mesh: as many ranks as the world has");
  for (std::size_t i = 0; i < kAxes; ++i) {
    const auto axis = static_cast<Axis>(i);
    // Layers communicate in it; the others are split further.
    const bool seldom = axis != Axis::tensor;
    groups_[i] = world.split(shape.color(rank_, axis), name_of(axis), {.seldom = seldom});
  }
}

}  // namespace trireme::runtime
