#include "kernels/cuda/published_peak.h"

namespace trireme::kernels {
namespace {

struct Entry {
  std::string_view part;  // of the name
  double flops;
};

// The first that fits.
constexpr Entry kPublished[] = {
    {"GB200", 2.5e15},    {"B200", 2.25e15},     {"B100", 1.75e15},     {"GH200", 989.4e12},
    {"H200 NVL", 835e12}, {"H200", 989.4e12},    {"H100 PCIe", 756e12}, {"H100 NVL", 835e12},
    {"H100", 989.4e12},   {"H800 PCIe", 756e12}, {"H800", 989.4e12},    {"A100", 312e12},
    {"A800", 312e12},     {"L40S", 362e12},      {"A40", 149.7e12},
};

}  // namespace

double published_tensor_flops(std::string_view name) {
  for (const Entry& entry : kPublished) {
    const std::size_t at = name.find(entry.part);
    if (at == std::string_view::npos) continue;
    // "A40" is not in "RTX A4000".
    const std::size_t end = at + entry.part.size();
    const bool is_digit = end < name.size() && name[end] >= '0' && name[end] <= '9';
    if (!is_digit) return entry.flops;
  }
  return 0;
}

}  // namespace trireme::kernels
