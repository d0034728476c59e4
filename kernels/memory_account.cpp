#include "kernels/memory_account.h"

#include <algorithm>

namespace trireme::kernels {

void MemoryAccount::add(Category category, std::int64_t bytes) {
  for (auto* counted : {&use_.categories[static_cast<std::size_t>(category)], &use_.total}) {
    counted->current += bytes;
    counted->peak = std::max(counted->peak, counted->current);
  }
}

void MemoryAccount::reset_peaks() {
  for (auto& category : use_.categories) category.peak = category.current;
  use_.total.peak = use_.total.current;
}

std::string MemoryAccount::shortage(std::size_t bytes) const {
  std::string text = "out of memory: " + std::to_string(bytes) + " bytes asked for, " +
                     std::to_string(use_.reserved >> 20) + " MiB held from the device, in use: ";
  for (std::size_t i = 0; i < kCategories; ++i) {
    text += std::string(i ? ", " : "") + name_of(static_cast<Category>(i)) + " " +
            std::to_string(use_.categories[i].current >> 20) + " MiB";
  }
  return text;
}

}  // namespace trireme::kernels
