#include "schedules/svg_elements.h"

#include <array>
#include <cmath>

namespace trireme::schedules {
namespace {

using Rgb = std::array<int, 3>;

// One chunk has a color that differs in brightness too; of several, brightness tells the chunk.
struct Ramp {
  Rgb single;
  Rgb light;
  Rgb dark;
};

// Distinct for every common kind of color vision.
constexpr std::array<Ramp, 5> kPalette = {
    {{{0x6B, 0x9F, 0xD6}, {0xA8, 0xCC, 0xF0}, {0x0B, 0x4A, 0x90}},    // F
     {{0x8F, 0xD3, 0xBA}, {0xBC, 0xEA, 0xDA}, {0x00, 0x7A, 0x60}},    // B
     {{0xF9, 0xDC, 0x86}, {0xFD, 0xE7, 0xAC}, {0x96, 0x64, 0x00}},    // W
     {{0xEE, 0x9F, 0x80}, {0xF3, 0xB0, 0x93}, {0xA3, 0x3A, 0x12}},    // BW
     {{0x82, 0x82, 0x82}, {0xBD, 0xBD, 0xBD}, {0x5A, 0x5A, 0x5A}}}};  // R

Rgb color_of(Pass pass, std::optional<double> shade) {
  const auto& [single, light, dark] = kPalette[static_cast<std::size_t>(pass)];
  if (!shade) return single;
  Rgb color;
  for (std::size_t i = 0; i < color.size(); ++i) {
    color[i] = static_cast<int>(std::lround(light[i] + *shade * (dark[i] - light[i])));
  }
  return color;
}

// Relative to white, as the eye sees it (WCAG 2).
double luminance(const Rgb& color) {
  constexpr std::array<double, 3> kWeights = {0.2126, 0.7152, 0.0722};
  double sum = 0;
  for (std::size_t i = 0; i < color.size(); ++i) {
    sum += kWeights[i] * std::pow(color[i] / 255.0, 2.2);
  }
  return sum;
}

}  // namespace

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&': result += "&amp;"; break;
      case '<': result += "&lt;"; break;
      case '>': result += "&gt;"; break;
      case '"': result += "&quot;"; break;
      default: result += c;
    }
  }
  return result;
}

std::string attributes(const Box& box) {
  return "x=\"" + pixels(box.x) + "\" y=\"" + pixels(box.y) + "\" width=\"" + pixels(box.width) +
         "\" height=\"" + pixels(box.height) + "\"";
}

std::string box_element(const Box& box, const std::string& fill) {
  return "<rect " + attributes(box) + " fill=\"" + fill + "\"/>\n";
}

std::string text_element(double x, double y, const std::string& text, const TextStyle& style) {
  return "<text x=\"" + pixels(x) + "\" y=\"" + pixels(y) + "\" font-size=\"" + pixels(style.size) +
         "\" text-anchor=\"" + style.anchor + "\" fill=\"" + style.fill +
         (style.bold ? "\" font-weight=\"bold" : "") + "\">" + escaped(text) + "</text>\n";
}

std::string line_element(double x1, double y1, double x2, double y2, const char* stroke) {
  return "<path d=\"M" + pixels(x1) + " " + pixels(y1) + "L" + pixels(x2) + " " + pixels(y2) +
         "\" stroke=\"" + stroke + "\"/>\n";
}

std::string fill_of(Pass pass, std::optional<double> shade) {
  std::string text = "#";
  for (const int value : color_of(pass, shade)) {
    for (const int digit : {value / 16, value % 16}) {
      text += "0123456789abcdef"[static_cast<std::size_t>(digit)];
    }
  }
  return text;
}

const char* ink_on(Pass pass, std::optional<double> shade) {
  // Where black and white have the same contrast.
  return luminance(color_of(pass, shade)) > 0.18 ? "#111" : "#fff";
}

double text_width(const std::string& text, double size) {
  double ems = 0;
  for (const char c : text) {
    const bool narrow = std::string("fijlrt(),.: ").find(c) != std::string::npos;
    const bool wide = std::string("mwBMW").find(c) != std::string::npos;
    ems += narrow ? 0.36 : wide ? 0.85 : 0.61;
  }
  return ems * size;
}

}  // namespace trireme::schedules
