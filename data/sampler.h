#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "data/blend.h"
#include "data/token_file.h"

namespace trireme::data {

// Tokens [first, last) of a stream.
struct Range {
  std::int64_t first = 0;
  std::int64_t last = 0;

  bool operator==(const Range&) const = default;
};

// Tokens [first_token, last_token) of a file, and how much of a blend they are. The file is
// shared because several ranges, as of training and validation, are parts of one file.
struct Source {
  std::shared_ptr<const TokenFile> file;
  double weight = 1;
  std::int64_t first_token = 0;
  std::int64_t last_token = 0;
  // Names its order of samples, which stays the same when sources come and go. Nothing: its place
  // among the sources.
  std::optional<std::int64_t> stream = std::nullopt;
};

// How far the samples of a source have come.
struct Position {
  std::int64_t samples = 0;  // given so far
  std::int64_t epoch = 0;
  std::int64_t chunk_tokens = 0;  // that this epoch is cut into; 0: as many as a sample has
  std::int64_t epoch_tokens = 0;  // of this epoch, given so far

  bool operator==(const Position&) const = default;
};

// The choices that say which tokens are sample number n.
struct Sampling {
  // Where a stream of samples goes on after its weights, its sources or the length of a sample were
  // changed.
  struct Start {
    std::int64_t samples = 0;
    // Of each source. Those that are missing at the end have given no samples yet.
    std::vector<Position> positions = {};
  };

  std::vector<Source> sources;
  std::int64_t sequence_length = 0;  // tokens
  std::uint64_t seed = 0;
  bool shuffle = true;
  Start start = {};
  // If positive, a token that is not below it is an error when it is sampled.
  std::int64_t vocab_size = 0;
};

// An endless stream of samples. Sample n is a pure function of the choices and n: it depends
// neither on other samples nor on who asks, and no index is kept in memory.
//
// Documents are packed: the stream of a source is cut into chunks of `sequence_length` + 1
// tokens, of which the last is the first of the next chunk. Every epoch of a source gives
// each chunk once, in an order of its own; epochs of sources are not aligned.
//
// When a stream goes on with samples of another length, the epoch that a source is in keeps the
// chunks it was cut into: samples are what follows in their order, cut or joined to the new
// length, so that no token is left out and none comes twice. The next epoch is cut anew.
class Sampler {
 public:
  // Throws DataError{corrupt} for a source too short for one sample, and
  // std::invalid_argument for choices that make no sense.
  explicit Sampler(Sampling choices);

  std::int64_t sequence_length() const { return choices_.sequence_length; }

  // Copies sample `index` to `out`: sequence_length + 1 tokens. `index` is not below the
  // start. Throws DataError for tokens that are no ids.
  void sample(std::int64_t index, std::span<std::int32_t> out) const;

  // Which source gives sample `index`, and which of that source's samples it is.
  Place place(std::int64_t index) const;

  // How far each source has come after `samples` samples of the whole stream, those before the
  // start included. This is what Start needs to go on from there.
  std::vector<Position> positions(std::int64_t samples) const;

  // With the start filled in.
  const Sampling& choices() const { return choices_; }

  // Chunks of a source; the tokens left over at its end are not used.
  std::int64_t samples_per_epoch(std::size_t source) const { return chunks_.at(source); }

 private:
  // Where a sample of a source begins: an epoch, how it is cut, and tokens of its order.
  struct Cut {
    std::int64_t epoch, chunk_tokens, token;
  };

  Cut cut(std::size_t source, std::int64_t local) const;
  std::int64_t left_in_epoch(std::size_t source) const;
  std::int64_t chunk_at(std::size_t source, const Cut& cut) const;
  void read(std::size_t source, std::int64_t first, std::span<std::int32_t> out) const;
  void expect_from_start(std::int64_t samples) const;

  Sampling choices_;
  Blend blend_;
  std::vector<std::int64_t> chunks_;  // of each source
};

// Cuts a stream into training and validation parts, in this order. The cut is moved to the
// nearest start of a document if that changes the validation part by at most a half.
// 0 <= validation_fraction < 1, else std::invalid_argument.
std::pair<Range, Range> split(const TokenFile& file, double validation_fraction);

}  // namespace trireme::data
