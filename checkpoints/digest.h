#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace trireme::checkpoints {

// XXH3-128 (https://github.com/Cyan4973/xxHash): as fast as memory, and any flipped bit shows.
struct Digest {
  std::uint64_t high = 0, low = 0;

  bool operator==(const Digest&) const = default;

  std::string hex() const;  // 32 digits, as xxh128sum prints them
  static std::optional<Digest> from_hex(std::string_view text);
};

// The digest of bytes that come in pieces.
class Hasher {
 public:
  Hasher();

  void add(std::span<const std::byte> bytes);
  Digest digest() const;

 private:
  struct Free {
    void operator()(void* state) const;
  };
  std::unique_ptr<void, Free> state_;
};

Digest digest_of(std::span<const std::byte> bytes);
Digest digest_of(std::string_view text);

}  // namespace trireme::checkpoints
