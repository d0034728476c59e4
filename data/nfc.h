#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace trireme::data {

// Unicode normalization form C (https://www.unicode.org/reports/tr15) of UTF-8 text.
std::string to_nfc(std::string_view text);

// `composed` is canonically `first` followed by `second`.
struct ComposedPair {
  char32_t composed;
  char32_t first;
  char32_t second;
  bool composes;  // false if form C keeps the two apart
};

// `composed` is canonically `first`, and form C replaces it.
struct Singleton {
  char32_t composed;
  char32_t first;
};

// Code points [first, last] have canonical combining class `value`. Others have class 0.
struct CombiningClass {
  char32_t first;
  char32_t last;
  std::uint8_t value;
};

// Tables of Unicode 14 in rising order, without Hangul syllables. The tokenizers library has
// older ones, and does not order marks that came after Unicode 9.
std::span<const ComposedPair> composed_pairs();
std::span<const Singleton> singletons();
std::span<const CombiningClass> combining_classes();

}  // namespace trireme::data
