#include "data/byte_level.h"

#include <array>
#include <cstdint>

#include "data/utf8.h"

namespace trireme::data {
namespace {

constexpr std::int16_t kNoByte = -1;
constexpr char32_t kCharacters = 0x144;  // one more than the last in use

constexpr bool is_visible(int byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

constexpr std::array<std::int16_t, kCharacters> byte_by_character() {
  std::array<std::int16_t, kCharacters> bytes = {};
  bytes.fill(kNoByte);
  std::size_t next = 0x100;
  for (int byte = 0; byte < 0x100; ++byte) {
    const std::size_t character = is_visible(byte) ? static_cast<std::size_t>(byte) : next++;
    bytes[character] = static_cast<std::int16_t>(byte);
  }
  return bytes;
}

constexpr std::array kByteByCharacter = byte_by_character();

}  // namespace

std::optional<std::string> bytes_of_characters(std::string_view written) {
  std::string bytes;
  for (const char32_t character : from_utf8(written)) {
    if (character >= kCharacters || kByteByCharacter[character] == kNoByte) return std::nullopt;
    bytes += static_cast<char>(kByteByCharacter[character]);
  }
  return bytes;
}

}  // namespace trireme::data
