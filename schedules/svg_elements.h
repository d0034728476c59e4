#pragma once

#include <optional>
#include <string>

#include "schedules/drawing.h"

namespace trireme::schedules {

struct Box {
  double x = 0;
  double y = 0;
  double width = 0;
  double height = 0;
};

struct TextStyle {
  double size = 11;
  const char* anchor = "start";
  const char* fill = "#222";
  bool bold = false;
};

// A coordinate. Hundredths of a pixel cannot be seen; more digits only make the file larger.
inline std::string pixels(double value) { return decimal_text(value, 2); }

std::string escaped(const std::string& text);

// x="1" y="2" width="3" height="4"
std::string attributes(const Box& box);

std::string box_element(const Box& box, const std::string& fill);

// `y` is the baseline.
std::string text_element(double x, double y, const std::string& text, const TextStyle& style = {});

std::string line_element(double x1, double y1, double x2, double y2, const char* stroke);

// Color of a pass, for readers with any color vision and for gray printers; with Chunks::shade().
std::string fill_of(Pass pass, std::optional<double> shade);
// Of text on that color.
const char* ink_on(Pass pass, std::optional<double> shade);

// About the width of `text` in a wide font.
double text_width(const std::string& text, double size);

}  // namespace trireme::schedules
