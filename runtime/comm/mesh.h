#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>

#include "runtime/comm/communicator.h"

namespace trireme::runtime {

// The ways in which ranks share the work.
enum class Axis { tensor, context, data, pipeline };
constexpr std::size_t kAxes = 4;

constexpr const char* name_of(Axis axis) {
  constexpr std::array names{"tensor", "context", "data", "pipeline"};
  return names[static_cast<std::size_t>(axis)];
}

// How many ranks along each axis, and which axis varies fastest with the rank.
struct MeshShape {
  std::array<int, kAxes> sizes = {1, 1, 1, 1};  // by Axis
  std::array<Axis, kAxes> order = {Axis::tensor, Axis::context, Axis::data, Axis::pipeline};

  int size(Axis axis) const { return sizes[static_cast<std::size_t>(axis)]; }
  int world() const;

  // Where rank `rank` stands along `axis`.
  int coordinate(int rank, Axis axis) const;

  // Numbers the groups along `axis`: ranks that differ in no other coordinate share a color.
  int color(int rank, Axis axis) const;
};

// A rank's place, and the groups it is in: one along each axis, of the ranks that agree on the
// other coordinates, in the order of the axis.
class Mesh {
 public:
  // Collective over `world`, whose size is that of the shape.
  Mesh(Communicator& world, MeshShape shape);

  const MeshShape& shape() const { return shape_; }
  int coordinate(Axis axis) const { return shape_.coordinate(rank_, axis); }
  Communicator& world() const { return world_; }
  Communicator& group(Axis axis) const { return *groups_[static_cast<std::size_t>(axis)]; }

 private:
  Communicator& world_;
  MeshShape shape_;
  int rank_;
  std::array<std::unique_ptr<Communicator>, kAxes> groups_;
};

}  // namespace trireme::runtime
