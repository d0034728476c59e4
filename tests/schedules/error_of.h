#pragma once

#include <gtest/gtest.h>

#include <string>

#include "schedules/action.h"

namespace trireme::schedules {

// The message of the ScheduleError that `body` has to throw.
template <typename Body>
std::string error_of(const Body& body) {
  try {
    body();
  } catch (const ScheduleError& error) {
    return error.what();
  }
  ADD_FAILURE() << "no ScheduleError";
  return "";
}

inline void expect_says(const std::string& text, const std::string& words) {
  EXPECT_NE(text.find(words), std::string::npos)
      << "\"" << text << "\" does not say \"" << words << "\"";
}

}  // namespace trireme::schedules
