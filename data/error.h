#pragma once

#include <stdexcept>
#include <string>

namespace trireme::data {

// What a person has to do about a failure: give the right path, repair or replace the
// file, or look at the disk.
enum class Fault {
  missing,  // there is no such file, or it may not be read
  corrupt,  // the file is there, and is not what it has to be
  io,       // writing failed
};

// A failure of a file. The message names the file, what was found and what was expected.
struct DataError : std::runtime_error {
  DataError(Fault why, const std::string& message) : std::runtime_error(message), fault(why) {}

  Fault fault;
};

}  // namespace trireme::data
