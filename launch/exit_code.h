#pragma once

#include <exception>
#include <string>

namespace trireme::launch {

// What the shell, and a job script, learn from a run.
enum class ExitCode {
  done = 0,
  not_equivalent = 1,  // of trireme verify
  usage = 2,           // command line or config
  corrupt = 65,        // data or checkpoint
  missing = 66,        // input
  communication = 69,  // a peer failed or a collective hung
  internal = 70,
  io = 74,         // disk full, read-only
  resumable = 75,  // stopped early with a good checkpoint: start it again
  diverged = 76,
  interrupted = 130,  // SIGINT, as shells count
};

// What went wrong, told apart by who has to do something about it.
struct Failure {
  ExitCode code = ExitCode::done;
  std::string message;

  explicit operator bool() const { return code != ExitCode::done; }
};

// Sorts an exception by its type.
Failure failure_of(const std::exception_ptr& exception);

}  // namespace trireme::launch
