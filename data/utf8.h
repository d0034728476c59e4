#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace trireme::data {

// The length of the longest prefix of `text` that is UTF-8, in bytes.
std::size_t valid_utf8_prefix(std::string_view text);

// The code points of `text`, which is UTF-8.
std::u32string from_utf8(std::string_view text);

void append_utf8(std::string& text, char32_t point);

}  // namespace trireme::data
