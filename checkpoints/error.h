#pragma once

#include <stdexcept>
#include <string>

namespace trireme::checkpoints {

// What a person has to do about a failure: give the right path, use another checkpoint, or look at
// the disk.
enum class Fault {
  missing,  // there is no such file or folder
  corrupt,  // it is there, and is not what it has to be
  io,       // the disk would not read or write
};

// A failure of a file or folder. The message names it, what was found and what was expected.
struct CheckpointError : std::runtime_error {
  CheckpointError(Fault why, const std::string& message)
      : std::runtime_error(message), fault(why) {}

  Fault fault;
};

}  // namespace trireme::checkpoints
