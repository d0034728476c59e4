#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace trireme::data {

// In the files of byte-level tokenizers a byte is written as a visible character: itself if it
// is one, else a character from U+0100 on. Returns the bytes `written` stands for, or nothing
// if it has a character that stands for none.
std::optional<std::string> bytes_of_characters(std::string_view written);

}  // namespace trireme::data
