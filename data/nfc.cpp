#include "data/nfc.h"

#include <algorithm>
#include <unordered_map>

#include "data/utf8.h"

namespace trireme::data {
namespace {

// Hangul syllables are composed by arithmetic: leading consonant, vowel, trailing consonant.
constexpr char32_t kSyllable = 0xac00;
constexpr char32_t kLeading = 0x1100;
constexpr char32_t kVowel = 0x1161;
constexpr char32_t kTrailing = 0x11a7;
constexpr char32_t kVowels = 21;
constexpr char32_t kTrailings = 28;  // with "none"
constexpr char32_t kLeadings = 19;
constexpr char32_t kSyllables = kLeadings * kVowels * kTrailings;

std::uint8_t combining_class(char32_t point) {
  const auto classes = combining_classes();
  const auto found = std::ranges::lower_bound(classes, point, {}, &CombiningClass::last);
  return found != classes.end() && found->first <= point ? found->value : std::uint8_t{0};
}

void append_decomposed(std::u32string& out, char32_t point) {
  if (point >= kSyllable && point < kSyllable + kSyllables) {
    const char32_t number = point - kSyllable;
    out += kLeading + number / (kVowels * kTrailings);
    out += kVowel + number / kTrailings % kVowels;
    if (number % kTrailings != 0) out += kTrailing + number % kTrailings;
    return;
  }
  const auto single = std::ranges::lower_bound(singletons(), point, {}, &Singleton::composed);
  if (single != singletons().end() && single->composed == point) {
    return append_decomposed(out, single->first);
  }
  const auto pairs = composed_pairs();
  const auto pair = std::ranges::lower_bound(pairs, point, {}, &ComposedPair::composed);
  if (pair == pairs.end() || pair->composed != point) {
    out += point;
    return;
  }
  append_decomposed(out, pair->first);
  append_decomposed(out, pair->second);
}

// Marks after a character are put in the order of their classes, equal ones as they came.
void order_marks(std::u32string& points) {
  auto start = points.begin();
  while (start != points.end()) {
    const auto is_starter = [](char32_t point) { return combining_class(point) == 0; };
    start = std::find_if_not(start, points.end(), is_starter);
    const auto end = std::find_if(start, points.end(), is_starter);
    std::stable_sort(
        start, end, [](char32_t a, char32_t b) { return combining_class(a) < combining_class(b); });
    start = end;
  }
}

using Pairs = std::unordered_map<std::uint64_t, char32_t>;

std::uint64_t key(char32_t first, char32_t second) {
  return static_cast<std::uint64_t>(first) << 32 | second;
}

Pairs composing_pairs() {
  Pairs pairs;
  for (const ComposedPair& entry : composed_pairs()) {
    if (entry.composes) pairs.emplace(key(entry.first, entry.second), entry.composed);
  }
  return pairs;
}

// What the two compose to, or 0.
char32_t composed(char32_t first, char32_t second) {
  static const Pairs pairs = composing_pairs();
  if (first >= kLeading && first < kLeading + kLeadings && second >= kVowel &&
      second < kVowel + kVowels) {
    return kSyllable + ((first - kLeading) * kVowels + second - kVowel) * kTrailings;
  }
  if (first >= kSyllable && first < kSyllable + kSyllables &&
      (first - kSyllable) % kTrailings == 0 && second > kTrailing &&
      second < kTrailing + kTrailings) {
    return first + second - kTrailing;
  }
  const auto found = pairs.find(key(first, second));
  return found == pairs.end() ? 0 : found->second;
}

std::u32string compose(const std::u32string& points) {
  std::u32string out;
  std::size_t starter = std::u32string::npos;
  std::uint8_t last_class = 0;
  for (const char32_t point : points) {
    const std::uint8_t mark = combining_class(point);
    const bool adjacent = starter + 1 == out.size();
    // A mark is blocked from its starter by another of the same or a higher class between.
    if (starter != std::u32string::npos && (adjacent || last_class < mark)) {
      if (const char32_t whole = composed(out[starter], point); whole != 0) {
        out[starter] = whole;
        continue;
      }
    }
    if (mark == 0) starter = out.size();
    last_class = mark;
    out += point;
  }
  return out;
}

}  // namespace

std::string to_nfc(std::string_view text) {
  // Below U+0300 everything is in form C, and that is what a lead byte below 0xcc says.
  const auto plain = [](char byte) { return static_cast<unsigned char>(byte) < 0xcc; };
  if (std::ranges::all_of(text, plain)) return std::string(text);

  std::u32string points;
  for (const char32_t point : from_utf8(text)) append_decomposed(points, point);
  order_marks(points);
  std::string out;
  out.reserve(text.size());
  for (const char32_t point : compose(points)) append_utf8(out, point);
  return out;
}

}  // namespace trireme::data
