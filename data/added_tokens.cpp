#include "data/added_tokens.h"

#include <algorithm>
#include <functional>

namespace trireme::data {

AddedTokenSearch::AddedTokenSearch(std::vector<AddedToken> tokens) : empty_(tokens.empty()) {
  const auto length = [](const AddedToken& token) { return token.content.size(); };
  std::ranges::sort(tokens, std::greater<>(), length);
  for (AddedToken& token : tokens) {
    by_first_byte_[static_cast<unsigned char>(token.content.at(0))].push_back(std::move(token));
  }
}

std::optional<AddedTokenSearch::Match> AddedTokenSearch::next(std::string_view text,
                                                              std::size_t from) const {
  if (empty_) return std::nullopt;
  for (std::size_t i = from; i < text.size(); ++i) {
    for (const AddedToken& token : by_first_byte_[static_cast<unsigned char>(text[i])]) {
      if (!text.substr(i).starts_with(token.content)) continue;
      return Match{.first = i, .last = i + token.content.size(), .id = token.id};
    }
  }
  return std::nullopt;
}

}  // namespace trireme::data
