#include "data/regex.h"

#include <pcre2.h>

#include <array>
#include <cctype>
#include <cstdint>
#include <limits>
#include <new>
#include <stdexcept>

#include "data/error.h"

namespace trireme::data {
namespace {

constexpr std::size_t kSmallStack = 32 * 1024;        // bytes
constexpr std::size_t kLargeStack = 8 * 1024 * 1024;  // bytes

// White space as Unicode and Oniguruma define it. PCRE2's own \s differs in U+180E.
constexpr std::string_view kSpaces = R"(\t-\r\x{85}\p{Z})";

bool is_punctuation(char letter) {
  return static_cast<unsigned char>(letter) < 0x80 &&
         std::ispunct(static_cast<unsigned char>(letter)) != 0;
}

std::string translate_escape(char letter, bool in_class) {
  if (letter == 's') return in_class ? std::string(kSpaces) : "[" + std::string(kSpaces) + "]";
  if (letter == 'S' && !in_class) return "[^" + std::string(kSpaces) + "]";
  if (is_punctuation(letter) ||
      std::string_view("dDpPrntf").find(letter) != std::string_view::npos) {
    return {'\\', letter};
  }
  throw std::invalid_argument(std::string("has \\") + letter + ", which is not supported");
}

// From Oniguruma's dialect to PCRE2's.
std::string translate(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char letter = pattern[i];
    if (letter == '\\' && i + 1 < pattern.size()) {
      out += translate_escape(pattern[++i], in_class);
      continue;
    }
    const bool nested = in_class && (letter == '[' || pattern.substr(i).starts_with("&&"));
    const bool anchor = !in_class && (letter == '^' || letter == '$');
    if (nested || anchor) {
      throw std::invalid_argument(std::string("has an unescaped ") + letter +
                                  ", which is not supported here");
    }
    if (letter == ']') in_class = false;
    out += letter;
    if (letter == '[') {
      in_class = true;
      if (pattern.substr(i + 1).starts_with('^')) out += pattern[++i];
    }
  }
  return out;
}

std::string message_of(int error) {
  std::array<PCRE2_UCHAR, 256> message = {};
  ::pcre2_get_error_message(error, message.data(), message.size());
  return reinterpret_cast<const char*>(message.data());
}

PCRE2_SPTR characters(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

}  // namespace

void Regex::Free::operator()(pcre2_code* code) const { ::pcre2_code_free(code); }
void Regex::Search::Free::operator()(pcre2_match_data* match) const {
  ::pcre2_match_data_free(match);
}
void Regex::Search::Free::operator()(pcre2_match_context* context) const {
  ::pcre2_match_context_free(context);
}
void Regex::Search::Free::operator()(pcre2_jit_stack* stack) const {
  ::pcre2_jit_stack_free(stack);
}

Regex::Regex(const std::string& pattern) {
  const std::string translated = translate(pattern);
  int error = 0;
  std::size_t place = 0;
  code_.reset(::pcre2_compile(characters(translated), translated.size(), PCRE2_UTF | PCRE2_UCP,
                              &error, &place, nullptr));
  if (!code_) throw std::invalid_argument("is no regular expression: " + message_of(error));
  std::uint32_t matches_empty = 0;
  ::pcre2_pattern_info(code_.get(), PCRE2_INFO_MATCHEMPTY, &matches_empty);
  if (matches_empty != 0) throw std::invalid_argument("may match nothing, which is not supported");
  // Without a compiler for this processor, PCRE2 interprets the pattern: slower, same result.
  ::pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);
}

std::string Regex::literal(std::string_view text) {
  std::string pattern;
  for (const char letter : text) {
    if (is_punctuation(letter)) pattern += '\\';
    pattern += letter;
  }
  return pattern;
}

Regex::Search::Search(const Regex& regex)
    : code_(regex.code_.get()),
      match_(::pcre2_match_data_create(1, nullptr)),
      context_(::pcre2_match_context_create(nullptr)),
      stack_(::pcre2_jit_stack_create(kSmallStack, kLargeStack, nullptr)) {
  if (!match_ || !context_) throw std::bad_alloc();
  ::pcre2_set_match_limit(context_.get(), std::numeric_limits<std::uint32_t>::max());
  if (stack_) ::pcre2_jit_stack_assign(context_.get(), nullptr, stack_.get());
}

std::optional<Regex::Match> Regex::Search::next(std::string_view text, std::size_t from) {
  const int result = ::pcre2_match(code_, characters(text), text.size(), from, PCRE2_NO_UTF_CHECK,
                                   match_.get(), context_.get());
  if (result == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (result < 0) {
    throw DataError(Fault::corrupt, "text cannot be cut into words: " + message_of(result));
  }
  const std::size_t* ends = ::pcre2_get_ovector_pointer(match_.get());
  return Match{.first = ends[0], .last = ends[1]};
}

}  // namespace trireme::data
