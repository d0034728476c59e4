#pragma once

#include <string>

namespace trireme::kernels {

// A library of this program that is loaded when it is asked for, and stays: linking it would cost
// every start the time to load what it needs, and its libraries on every machine.
class Module {
 public:
  // `file` lies beside the program, or is found like any library.
  explicit Module(const std::string& file);

  // Why it could not be loaded; empty if it was.
  const std::string& problem() const { return problem_; }

  // Null if there is no such function, or no module.
  template <class Function>
  Function find(const char* symbol) const {
    return reinterpret_cast<Function>(address(symbol));
  }

 private:
  void* address(const char* symbol) const;

  void* handle_ = nullptr;
  std::string problem_;
};

}  // namespace trireme::kernels
