#include "data/pre_tokenizer.h"

namespace trireme::data {

using Kind = CuttingStep::Kind;

PreTokenizer::PreTokenizer(const std::vector<CuttingStep>& steps) {
  for (const CuttingStep& step : steps) {
    const std::string pattern = step.kind == Kind::prefix_space ? " " : step.pattern;
    steps_.push_back({.kind = step.kind, .regex = Regex(pattern)});
  }
}

PreTokenizer::Cutter::Cutter(const PreTokenizer& pre_tokenizer) : pre_tokenizer_(pre_tokenizer) {
  for (const Step& step : pre_tokenizer_.steps_) searches_.emplace_back(step.regex);
}

void PreTokenizer::Cutter::cut(std::string_view text, const Sink& sink) { run(0, text, sink); }

void PreTokenizer::Cutter::run(std::size_t step, std::string_view piece, const Sink& sink) {
  if (piece.empty()) return;
  if (step == pre_tokenizer_.steps_.size()) return sink(piece);
  if (pre_tokenizer_.steps_[step].kind != Kind::prefix_space) return split(step, piece, sink);
  if (piece.starts_with(' ')) return run(step + 1, piece, sink);
  std::string prefixed(1, ' ');
  prefixed += piece;
  run(step + 1, prefixed, sink);
}

void PreTokenizer::Cutter::split(std::size_t step, std::string_view piece, const Sink& sink) {
  const Kind kind = pre_tokenizer_.steps_[step].kind;
  std::size_t from = 0;
  while (const auto match = searches_[step].next(piece, from)) {
    const std::string_view between = piece.substr(from, match->first - from);
    const std::string_view matched = piece.substr(match->first, match->last - match->first);
    if (kind != Kind::keep_matches) run(step + 1, between, sink);
    if (kind != Kind::remove_matches) run(step + 1, matched, sink);
    from = match->last;
  }
  if (kind != Kind::keep_matches) run(step + 1, piece.substr(from), sink);
}

}  // namespace trireme::data
