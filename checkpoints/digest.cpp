#include "checkpoints/digest.h"

#include <xxhash.h>

#include <charconv>
#include <cstdio>
#include <new>

namespace trireme::checkpoints {
namespace {

XXH3_state_t* state_of(void* state) { return static_cast<XXH3_state_t*>(state); }

Digest to_digest(XXH128_hash_t hash) { return {.high = hash.high64, .low = hash.low64}; }

std::optional<std::uint64_t> number_of(std::string_view digits) {
  std::uint64_t value = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

}  // namespace

std::string Digest::hex() const {
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(high),
                static_cast<unsigned long long>(low));
  return text;
}

std::optional<Digest> Digest::from_hex(std::string_view text) {
  if (text.size() != 32) return std::nullopt;
  const auto high = number_of(text.substr(0, 16)), low = number_of(text.substr(16));
  if (!high || !low) return std::nullopt;
  const Digest found{.high = *high, .low = *low};
  // One way to write a digest: no signs, no capitals.
  return found.hex() == text ? std::optional(found) : std::nullopt;
}

void Hasher::Free::operator()(void* state) const { XXH3_freeState(state_of(state)); }

Hasher::Hasher() : state_(XXH3_createState()) {
  if (!state_) throw std::bad_alloc();
  XXH3_128bits_reset(state_of(state_.get()));
}

void Hasher::add(std::span<const std::byte> bytes) {
  XXH3_128bits_update(state_of(state_.get()), bytes.data(), bytes.size());
}

Digest Hasher::digest() const { return to_digest(XXH3_128bits_digest(state_of(state_.get()))); }

Digest digest_of(std::span<const std::byte> bytes) {
  return to_digest(XXH3_128bits(bytes.data(), bytes.size()));
}

Digest digest_of(std::string_view text) { return digest_of(std::as_bytes(std::span(text))); }

}  // namespace trireme::checkpoints
