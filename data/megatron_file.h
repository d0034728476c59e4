#pragma once

#include <memory>
#include <string>

#include "data/token_file.h"

namespace trireme::data {

// Opens the Megatron pair PREFIX.bin (tokens, no header) and PREFIX.idx (where sequences and
// documents start). Some writers let the pointers of the index overflow; if they disagree
// with the lengths, the lengths are believed, at the price of one pass over them.
std::shared_ptr<const TokenFile> open_megatron_file(const std::string& prefix);

}  // namespace trireme::data
