#include "data/sequence_index.h"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string_view>

#include "data/error.h"

namespace trireme::data {
namespace {

constexpr std::string_view kMagic("MMIDIDX\0\0", 9);
constexpr std::int64_t kHeaderBytes = 34;
constexpr std::int64_t kEntryBytes = 12;  // of a sequence: i32 length, i64 pointer
constexpr std::int64_t kSamples = 64;     // entries looked at when a file is opened
constexpr std::int64_t kBlock = 256;      // sequences

struct Code {
  std::uint8_t code;
  TokenType type;
};

constexpr std::array kCodes = {Code{1, TokenType::u8},  Code{2, TokenType::i8},
                               Code{3, TokenType::i16}, Code{4, TokenType::i32},
                               Code{5, TokenType::i64}, Code{8, TokenType::u16}};

}  // namespace

SequenceIndex::SequenceIndex(const std::string& path, std::int64_t stored_bytes) : file_(path) {
  read_header();
  read_counts();
  const std::int64_t item = bytes_of(type_);
  if (stored_bytes == 0 || sequences_ == 0) refuse("holds no tokens, expected at least one");
  if (stored_bytes % item != 0) {
    refuse("describes tokens of " + std::to_string(item) + " bytes, but its .bin file has " +
           std::to_string(stored_bytes) + " bytes");
  }
  tokens_ = stored_bytes / item;
  check_documents(std::max<std::int64_t>(1, document_entries_ / kSamples));
  if (!pointers_hold(std::max<std::int64_t>(1, sequences_ / kSamples))) add_up_lengths();
}

std::int64_t SequenceIndex::sequence_start(std::int64_t sequence) const {
  if (sequence == sequences_) return tokens_;
  if (block_starts_) {
    std::int64_t start = (*block_starts_)[static_cast<std::size_t>(sequence / kBlock)];
    for (std::int64_t i = sequence / kBlock * kBlock; i < sequence; ++i) start += length(i);
    return start;
  }
  const std::int64_t start = pointer(sequence) / bytes_of(type_);
  if (start < 0 || start > tokens_) {
    refuse("says sequence " + std::to_string(sequence) + " starts at byte " +
           std::to_string(pointer(sequence)) + ", outside its .bin file");
  }
  return start;
}

std::int64_t SequenceIndex::document_start(std::int64_t document) const {
  if (document < 0 || document >= document_entries_) {
    throw std::out_of_range(file_.path() + ": document " + std::to_string(document) + " of " +
                            std::to_string(documents()));
  }
  const std::int64_t sequence = first_sequence(document);
  if (sequence < 0 || sequence > sequences_) {
    refuse("says document " + std::to_string(document) + " starts at sequence " +
           std::to_string(sequence) + " of " + std::to_string(sequences_));
  }
  return sequence_start(sequence);
}

void SequenceIndex::check_all() const {
  check_documents(1);
  if (!block_starts_ && !pointers_hold(1)) {
    refuse("has pointers that disagree with its sequence lengths");
  }
}

void SequenceIndex::refuse(const std::string& what) const {
  throw DataError(Fault::corrupt, file_.path() + ": " + what);
}

std::int64_t SequenceIndex::length(std::int64_t sequence) const {
  return file_.load<std::int32_t>(kHeaderBytes + 4 * sequence);
}

std::int64_t SequenceIndex::pointer(std::int64_t sequence) const {
  return file_.load<std::int64_t>(kHeaderBytes + 4 * sequences_ + 8 * sequence);
}

std::int64_t SequenceIndex::first_sequence(std::int64_t document) const {
  return file_.load<std::int64_t>(kHeaderBytes + kEntryBytes * sequences_ + 8 * document);
}

void SequenceIndex::read_header() {
  if (file_.size() < kHeaderBytes) {
    refuse("has " + std::to_string(file_.size()) +
           " bytes, expected a Megatron index of at least " + std::to_string(kHeaderBytes));
  }
  if (std::memcmp(file_.bytes().data(), kMagic.data(), kMagic.size()) != 0) {
    refuse("does not start with MMIDIDX, expected a Megatron index");
  }
  if (const auto version = file_.load<std::uint64_t>(9); version != 1) {
    refuse("is version " + std::to_string(version) + ", expected 1");
  }
  const auto code = file_.load<std::uint8_t>(17);
  const auto known = std::ranges::find(kCodes, code, &Code::code);
  if (known == kCodes.end()) {
    const bool real = code == 6 || code == 7;
    refuse("has dtype code " + std::to_string(code) + (real ? " (floating point)" : "") +
           ", expected 1 (u8), 2 (i8), 3 (i16), 4 (i32), 5 (i64) or 8 (u16)");
  }
  type_ = known->type;
}

void SequenceIndex::read_counts() {
  const auto sequences = file_.load<std::uint64_t>(18);
  const auto entries = file_.load<std::uint64_t>(26);
  // Compared before they are multiplied, so that no product can overflow.
  const auto size = static_cast<std::uint64_t>(file_.size());
  const bool possible = sequences <= size / kEntryBytes && entries <= size / 8;
  const std::uint64_t expected = kHeaderBytes + kEntryBytes * sequences + 8 * entries;
  // Multimodal files add one mode byte per sequence; nothing in the header says so.
  if (!possible || (size != expected && size != expected + sequences)) {
    refuse("has " + std::to_string(size) + " bytes, expected " +
           (possible ? std::to_string(expected) : "far more") + " for " +
           std::to_string(sequences) + " sequences and " + std::to_string(entries) +
           " document entries");
  }
  sequences_ = static_cast<std::int64_t>(sequences);
  document_entries_ = static_cast<std::int64_t>(entries);
}

void SequenceIndex::check_documents(std::int64_t stride) const {
  if (document_entries_ == 0 || first_sequence(0) != 0 ||
      first_sequence(documents()) != sequences_) {
    refuse("has document entries that do not go from 0 to its " + std::to_string(sequences_) +
           " sequences");
  }
  for (std::int64_t i = 0; i < documents(); i += stride) {
    const std::int64_t first = first_sequence(i);
    const std::int64_t next = first_sequence(i + 1);
    if (first < 0 || next < first || next > sequences_) {
      refuse("says document " + std::to_string(i) + " starts at sequence " + std::to_string(first) +
             " and the next at " + std::to_string(next) + " of " + std::to_string(sequences_));
    }
  }
}

bool SequenceIndex::pointers_hold(std::int64_t stride) const {
  const std::int64_t item = bytes_of(type_);
  const auto follows = [&](std::int64_t i) {
    const std::int64_t next = i + 1 < sequences_ ? pointer(i + 1) : tokens_ * item;
    // Subtracting could overflow for a pointer that is garbage.
    return length(i) >= 0 && next >= length(i) * item && pointer(i) == next - length(i) * item;
  };
  if (pointer(0) != 0 || !follows(sequences_ - 1)) return false;
  for (std::int64_t i = 0; i < sequences_; i += stride) {
    if (!follows(i)) return false;
  }
  return true;
}

void SequenceIndex::add_up_lengths() {
  std::vector<std::int64_t> starts;
  std::int64_t start = 0;
  for (std::int64_t i = 0; i < sequences_; ++i) {
    if (length(i) < 0) {
      refuse("says sequence " + std::to_string(i) + " has " + std::to_string(length(i)) +
             " tokens, expected none or more");
    }
    if (i % kBlock == 0) starts.push_back(start);
    start += length(i);
  }
  if (start != tokens_) {
    refuse("has sequences of " + std::to_string(start) +
           " tokens in all, but its .bin file holds " + std::to_string(tokens_));
  }
  block_starts_ = std::move(starts);
}

}  // namespace trireme::data
