#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/regex.h"

namespace trireme::data {

// One step of cutting text into pieces.
struct CuttingStep {
  enum class Kind {
    isolate_matches,  // matches and what is between them become pieces
    remove_matches,   // only what is between matches
    keep_matches,     // only matches
    prefix_space,     // a piece that does not start with a space gets one
  };

  Kind kind = Kind::isolate_matches;
  std::string pattern = {};
};

// Cuts text into the pieces that are encoded on their own. Every step works on each piece the
// step before it made.
class PreTokenizer {
 public:
  using Sink = std::function<void(std::string_view piece)>;

  // Cuts texts for one thread. The pre-tokenizer must outlive it.
  class Cutter {
   public:
    explicit Cutter(const PreTokenizer& pre_tokenizer);

    // Hands the pieces of `text`, which is UTF-8, to `sink` in order. None is empty; each
    // lives for the time of the call.
    void cut(std::string_view text, const Sink& sink);

   private:
    void run(std::size_t step, std::string_view piece, const Sink& sink);
    void split(std::size_t step, std::string_view piece, const Sink& sink);

    const PreTokenizer& pre_tokenizer_;
    std::vector<Regex::Search> searches_;  // of each step
  };

  // Throws std::invalid_argument for a pattern that is not supported.
  explicit PreTokenizer(const std::vector<CuttingStep>& steps);

 private:
  struct Step {
    CuttingStep::Kind kind;
    Regex regex;
  };

  std::vector<Step> steps_;
};

}  // namespace trireme::data
