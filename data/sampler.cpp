#include "data/sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
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
  expects(start.samples >= 0 && start.consumed.size() <= choices_.sources.size(),
          "a stream goes on with the sources it had, and perhaps more");
  start.consumed.resize(choices_.sources.size());
  for (const Source& source : choices_.sources) {
    chunks_.push_back(chunks_of(source, choices_.sequence_length));
  }
}

void Sampler::sample(std::int64_t index, std::span<std::int32_t> out) const {
  expects(std::cmp_equal(out.size(), choices_.sequence_length + 1),
          "a sample has sequence_length + 1 tokens");
  const Place at = place(index);
  const TokenFile& file = *choices_.sources[at.source].file;
  const std::int64_t first = first_token(at);
  file.read(first, out);
  if (choices_.vocab_size > 0) check_ids(file, first, out, choices_.vocab_size);
}

Place Sampler::place(std::int64_t index) const {
  expect_from_start(index);
  Place place = blend_.place(index - choices_.start.samples);
  place.local += choices_.start.consumed[place.source];
  return place;
}

std::vector<std::int64_t> Sampler::consumed(std::int64_t samples) const {
  expect_from_start(samples);
  std::vector<std::int64_t> counts = blend_.counts(samples - choices_.start.samples);
  std::ranges::transform(counts, choices_.start.consumed, counts.begin(), std::plus<>());
  return counts;
}

std::int64_t Sampler::first_token(const Place& place) const {
  const std::int64_t chunks = chunks_[place.source];
  std::int64_t chunk = place.local % chunks;
  if (choices_.shuffle) {
    const std::uint64_t seed = mix(choices_.seed, place.source);
    chunk = Permutation(chunks, seed, place.local / chunks)(chunk);
  }
  return choices_.sources[place.source].first_token + chunk * choices_.sequence_length;
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
