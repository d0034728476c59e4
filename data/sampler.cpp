#include "data/sampler.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "data/error.h"
#include "data/permutation.h"

namespace trireme::data {
namespace {

void expects(bool holds, const char* rule) {
  if (!holds) throw std::invalid_argument(rule);
}

std::vector<double> weights_of(const std::vector<Source>& sources) {
  std::vector<double> weights;
  for (const Source& source : sources) weights.push_back(source.weight);
  return weights;
}

std::int64_t chunks_of(const Source& source, std::int64_t sequence_length) {
  expects(source.file != nullptr, "a source has a file");
  expects(source.first_token >= 0 && source.first_token <= source.last_token &&
              source.last_token <= source.file->tokens(),
          "a source is a range of tokens of its file");
  const std::int64_t tokens = source.last_token - source.first_token;
  const std::int64_t chunks = tokens > 0 ? (tokens - 1) / sequence_length : 0;
  if (chunks == 0) {
    throw DataError(Fault::corrupt, source.file->path() + ": has " + std::to_string(tokens) +
                                        " tokens here, one sample needs " +
                                        std::to_string(sequence_length + 1));
  }
  return chunks;
}

// The first document that starts after `token`, which is inside the stream.
std::int64_t first_document_after(const TokenFile& file, std::int64_t token) {
  std::int64_t low = 1;  // document 0 starts at token 0
  std::int64_t high = file.documents();
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (file.document_start(middle) > token) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

}  // namespace

Sampler::Sampler(Sampling choices)
    : choices_(std::move(choices)), blend_(weights_of(choices_.sources)) {
  expects(choices_.sequence_length > 0, "a sample has at least one token to predict");
  Sampling::Start& start = choices_.start;
  expects(start.samples >= 0 && start.positions.size() <= choices_.sources.size(),
          "a stream goes on with the sources it had, and perhaps more");
  start.positions.resize(choices_.sources.size());
  for (std::size_t i = 0; i < choices_.sources.size(); ++i) {
    const Source& source = choices_.sources[i];
    chunks_.push_back(chunks_of(source, choices_.sequence_length));
    Position& position = start.positions[i];
    if (position.chunk_tokens == 0) position.chunk_tokens = choices_.sequence_length;
    const std::int64_t tokens = chunks_of(source, position.chunk_tokens) * position.chunk_tokens;
    expects(position.samples >= 0 && position.epoch >= 0 && position.epoch_tokens >= 0 &&
                position.epoch_tokens <= tokens,
            "a position inside its epoch");
  }
}

void Sampler::sample(std::int64_t index, std::span<std::int32_t> out) const {
  expects(std::cmp_equal(out.size(), choices_.sequence_length + 1),
          "a sample has sequence_length + 1 tokens");
  const auto [source, local] = place(index);
  Cut at = cut(source, local);
  // The tokens, and the one that follows the last of them in its file.
  std::size_t filled = 0;
  const auto length = static_cast<std::size_t>(choices_.sequence_length);
  while (filled < length) {
    const std::int64_t inside = at.token % at.chunk_tokens;
    const std::int64_t first = chunk_at(source, at) * at.chunk_tokens + inside;
    const std::size_t count =
        std::min(static_cast<std::size_t>(at.chunk_tokens - inside), length - filled);
    const bool last = filled + count == length;
    read(source, choices_.sources[source].first_token + first,
         out.subspan(filled, count + (last ? 1 : 0)));
    filled += count;
    at.token += static_cast<std::int64_t>(count);
  }
}

void Sampler::read(std::size_t source, std::int64_t first, std::span<std::int32_t> out) const {
  const TokenFile& file = *choices_.sources[source].file;
  file.read(first, out);
  if (choices_.vocab_size > 0) check_ids(file, first, out, choices_.vocab_size);
}

Place Sampler::place(std::int64_t index) const {
  expect_from_start(index);
  Place place = blend_.place(index - choices_.start.samples);
  place.local += choices_.start.positions[place.source].samples;
  return place;
}

std::vector<Position> Sampler::positions(std::int64_t samples) const {
  expect_from_start(samples);
  const std::vector<std::int64_t> counts = blend_.counts(samples - choices_.start.samples);
  std::vector<Position> positions = choices_.start.positions;
  for (std::size_t i = 0; i < positions.size(); ++i) {
    Position& position = positions[i];
    if (counts[i] <= left_in_epoch(i)) {
      position.epoch_tokens += counts[i] * choices_.sequence_length;
    } else {
      const Cut next = cut(i, position.samples + counts[i]);
      position.epoch = next.epoch;
      position.chunk_tokens = next.chunk_tokens;
      position.epoch_tokens = next.token;
    }
    position.samples += counts[i];
  }
  return positions;
}

// Whole samples that the epoch of the start still has. What is left after them is not used, as at
// the end of every epoch.
std::int64_t Sampler::left_in_epoch(std::size_t source) const {
  const Position& start = choices_.start.positions[source];
  const std::int64_t tokens =
      chunks_of(choices_.sources[source], start.chunk_tokens) * start.chunk_tokens;
  return (tokens - start.epoch_tokens) / choices_.sequence_length;
}

Sampler::Cut Sampler::cut(std::size_t source, std::int64_t local) const {
  const Position& start = choices_.start.positions[source];
  const std::int64_t length = choices_.sequence_length;
  const std::int64_t since = local - start.samples;
  const std::int64_t left = left_in_epoch(source);
  if (since < left) {
    return {.epoch = start.epoch,
            .chunk_tokens = start.chunk_tokens,
            .token = start.epoch_tokens + since * length};
  }
  return {.epoch = start.epoch + 1 + (since - left) / chunks_[source],
          .chunk_tokens = length,
          .token = (since - left) % chunks_[source] * length};
}

// Which chunk comes at a place in the order of an epoch.
std::int64_t Sampler::chunk_at(std::size_t source, const Cut& cut) const {
  const std::int64_t number = cut.token / cut.chunk_tokens;
  if (!choices_.shuffle) return number;
  const Source& from = choices_.sources[source];
  const auto stream = from.stream.value_or(static_cast<std::int64_t>(source));
  const std::uint64_t seed = mix(choices_.seed, static_cast<std::uint64_t>(stream));
  return Permutation(chunks_of(from, cut.chunk_tokens), seed, cut.epoch)(number);
}

void Sampler::expect_from_start(std::int64_t samples) const {
  expects(samples >= choices_.start.samples, "samples before the start are not known here");
}

std::pair<Range, Range> split(const TokenFile& file, double validation_fraction) {
  expects(validation_fraction >= 0 && validation_fraction < 1,
          "a validation part of 0 or more and less than 1");
  const std::int64_t tokens = file.tokens();
  std::int64_t cut = tokens - std::llround(static_cast<double>(tokens) * validation_fraction);
  if (cut < tokens && file.documents() > 0) {
    const std::int64_t after = first_document_after(file, cut);
    const std::int64_t before = file.document_start(after - 1);
    const std::int64_t next = file.document_start(after);
    const std::int64_t nearest = cut - before <= next - cut ? before : next;
    // Documents may be longer than the part asked for: then it is better to cut one.
    const bool close = 2 * std::abs(nearest - cut) <= tokens - cut;
    if (close && nearest > 0 && nearest < tokens) cut = nearest;
  }
  return {{.first = 0, .last = cut}, {.first = cut, .last = tokens}};
}

}  // namespace trireme::data
