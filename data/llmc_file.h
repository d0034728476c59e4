#pragma once

#include <memory>
#include <string>

#include "data/token_file.h"

namespace trireme::data {

// Opens a token file of llm.c: 256 header words (magic, version, tokens), then u16 tokens
// (GPT-2, also modded-nanogpt) or u32 tokens (Llama 3). It does not say where documents start.
std::shared_ptr<const TokenFile> open_llmc_file(const std::string& path);

}  // namespace trireme::data
