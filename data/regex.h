#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct pcre2_real_code_8;
struct pcre2_real_match_context_8;
struct pcre2_real_match_data_8;
struct pcre2_real_jit_stack_8;

namespace trireme::data {

// A compiled pattern over UTF-8 with Unicode properties. Patterns are written for Oniguruma,
// as in tokenizer.json; what means something else to PCRE2 is translated or refused.
class Regex {
 public:
  struct Match {
    std::size_t first = 0;
    std::size_t last = 0;  // one past the end, in bytes
  };

  // The memory one thread needs to look for matches of a pattern, which must outlive it.
  class Search {
   public:
    explicit Search(const Regex& regex);

    // The first match in `text` at or after `from`. `text` is UTF-8.
    std::optional<Match> next(std::string_view text, std::size_t from);

   private:
    struct Free {
      void operator()(pcre2_real_match_context_8* context) const;
      void operator()(pcre2_real_match_data_8* match) const;
      void operator()(pcre2_real_jit_stack_8* stack) const;
    };

    const pcre2_real_code_8* code_;
    std::unique_ptr<pcre2_real_match_data_8, Free> match_;
    std::unique_ptr<pcre2_real_match_context_8, Free> context_;
    std::unique_ptr<pcre2_real_jit_stack_8, Free> stack_;
  };

  // Throws std::invalid_argument, saying why, if the pattern is wrong, may match nothing at
  // all, or uses what the two dialects do not agree on.
  explicit Regex(const std::string& pattern);

  // A pattern that matches exactly `text`.
  static std::string literal(std::string_view text);

 private:
  struct Free {
    void operator()(pcre2_real_code_8* code) const;
  };

  std::unique_ptr<pcre2_real_code_8, Free> code_;
};

}  // namespace trireme::data
