#include "data/tokenizer_json.h"

#include <algorithm>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "data/error.h"
#include "data/mapped_file.h"

namespace trireme::data {
namespace {

using Json = nlohmann::json;

// How GPT-2 cuts words. ByteLevel cuts so by itself unless told not to.
constexpr const char* kWords =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// Reads one file; every function takes the part it is about.
class Reader {
 public:
  Reader(const std::string& path, bool matches_specials)
      : path_(path), matches_specials_(matches_specials) {}

  TokenizerJson read();

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw DataError(Fault::corrupt, path_ + ": " + what);
  }
  [[noreturn]] void refuse_value(const std::string& name, const Json& value) const {
    refuse(name + " " + value.dump().substr(0, 120) + " is not supported");
  }

  // Keys this code has never heard of may change ids as well.
  void expect_keys(const std::string& name, const Json& part,
                   std::initializer_list<std::string_view> known) const {
    for (const auto& [key, value] : part.items()) {
      if (std::ranges::find(known, key) == known.end()) refuse_value(name + "." + key, value);
    }
  }
  // For what must be absent, null, false, zero or empty, because it is not implemented.
  void expect_unused(const std::string& name, const Json& part, const char* key) const {
    if (!part.contains(key)) return;
    const Json& value = part[key];
    const bool unused = value.is_null() || value == false || value == 0 || value == "";
    if (!unused) refuse_value(name + "." + key, value);
  }
  std::string type_of(const Json& part) const {
    return part.is_null() ? "none" : part.at("type").get<std::string>();
  }

  Json parse() const;
  void read_model(const Json& model);
  void read_merges(const Json& merges);
  void read_normalizer(const Json& normalizer);
  void read_added_tokens(const Json& tokens);
  void read_pre_tokenizer(const Json& step);
  void read_split(const Json& step);
  void read_byte_level(const Json& step);
  void check_post_processor(const Json& step) const;
  void check_decoder(const Json& step) const;

  std::string path_;
  bool matches_specials_;
  bool byte_level_ = false;
  TokenizerJson file_;
};

TokenizerJson Reader::read() {
  try {
    const Json root = parse();
    expect_keys("tokenizer", root,
                {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
                 "post_processor", "decoder", "model"});
    expect_unused("tokenizer", root, "truncation");
    expect_unused("tokenizer", root, "padding");
    read_model(root.at("model"));
    read_normalizer(root.value("normalizer", Json()));
    read_added_tokens(root.value("added_tokens", Json::array()));
    read_pre_tokenizer(root.value("pre_tokenizer", Json()));
    if (!byte_level_) refuse("pre_tokenizer has no ByteLevel, expected a byte-level tokenizer");
    check_post_processor(root.value("post_processor", Json()));
    check_decoder(root.value("decoder", Json()));
  } catch (const Json::exception& error) {
    refuse(std::string("is no tokenizer.json: ") + error.what());
  }
  return std::move(file_);
}

// JSON lets a key occur twice, and the library keeps the last without a word.
Json Reader::parse() const {
  const MappedFile file(path_);
  const auto* text = reinterpret_cast<const char*>(file.bytes().data());
  std::vector<std::set<std::string>> open;
  const auto expect_new_keys = [&](int, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start) open.emplace_back();
    if (event == Json::parse_event_t::object_end) open.pop_back();
    if (event == Json::parse_event_t::key && !open.back().insert(value).second) {
      refuse("has the key " + value.dump() + " twice");
    }
    return true;
  };
  return Json::parse(std::string_view(text, file.bytes().size()), expect_new_keys);
}

void Reader::read_model(const Json& model) {
  // The oldest files do not say the type.
  if (model.value("type", "BPE") != "BPE") refuse_value("model.type", model["type"]);
  expect_keys("model", model,
              {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
               "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges"});
  // What is unknown never occurs: every byte has to be in the vocabulary.
  for (const char* key :
       {"dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"}) {
    expect_unused("model", model, key);
  }
  file_.ignore_merges = model.value("ignore_merges", false);
  file_.vocabulary = model.at("vocab").get<std::map<std::string, std::int32_t>>();
  read_merges(model.at("merges"));
}

void Reader::read_merges(const Json& merges) {
  for (const Json& merge : merges) {
    if (merge.is_array() && merge.size() == 2) {
      file_.merges.emplace_back(merge[0], merge[1]);
      continue;
    }
    const auto both = merge.get<std::string>();
    const std::size_t space = both.find(' ');
    if (space == std::string::npos || both.find(' ', space + 1) != std::string::npos) {
      refuse("merge " + merge.dump() + " is not two tokens");
    }
    file_.merges.emplace_back(both.substr(0, space), both.substr(space + 1));
  }
}

void Reader::read_normalizer(const Json& normalizer) {
  const std::string type = type_of(normalizer);
  if (type == "Sequence") {
    for (const Json& step : normalizer.at("normalizers")) read_normalizer(step);
  } else if (type == "NFC") {
    file_.normalizes = true;
  } else if (type != "none") {
    refuse_value("normalizer", normalizer);
  }
}

void Reader::read_added_tokens(const Json& tokens) {
  for (const Json& token : tokens) {
    expect_keys("added_tokens", token,
                {"id", "content", "special", "normalized", "single_word", "lstrip", "rstrip"});
    const AddedToken added{.id = token.at("id"),
                           .content = token.at("content"),
                           .special = token.value("special", false)};
    if (added.content.empty()) refuse_value("added token", token);
    // How a token is found in text matters only if it is looked for.
    if (!added.special || matches_specials_) {
      for (const char* key : {"single_word", "lstrip", "rstrip"}) {
        expect_unused("added token " + added.content, token, key);
      }
      if (file_.normalizes) expect_unused("added token " + added.content, token, "normalized");
    }
    file_.added_tokens.push_back(added);
  }
}

void Reader::read_pre_tokenizer(const Json& step) {
  const std::string type = type_of(step);
  // ByteLevel changes the characters later steps would see.
  if (byte_level_) refuse_value("pre_tokenizer after ByteLevel", step);
  if (type == "Sequence") {
    for (const Json& part : step.at("pretokenizers")) read_pre_tokenizer(part);
  } else if (type == "Split") {
    read_split(step);
  } else if (type == "Digits") {
    const bool alone = step.value("individual_digits", false);
    file_.cutting_steps.push_back({.pattern = alone ? R"(\p{N})" : R"(\p{N}+)"});
  } else if (type == "ByteLevel") {
    read_byte_level(step);
  } else if (type != "none") {
    refuse_value("pre_tokenizer", step);
  }
}

void Reader::read_split(const Json& step) {
  expect_keys("pre_tokenizer", step, {"type", "pattern", "behavior", "invert"});
  const Json& pattern = step.at("pattern");
  CuttingStep cutting;
  cutting.pattern = pattern.contains("String") ? Regex::literal(std::string(pattern["String"]))
                                               : std::string(pattern.at("Regex"));
  const std::string behavior = step.at("behavior");
  const bool inverted = step.value("invert", false);
  if (behavior == "Removed") {
    cutting.kind = inverted ? CuttingStep::Kind::keep_matches : CuttingStep::Kind::remove_matches;
  } else if (behavior != "Isolated") {
    refuse_value("pre_tokenizer behavior", step["behavior"]);
  }
  file_.cutting_steps.push_back(cutting);
}

void Reader::read_byte_level(const Json& step) {
  expect_keys("pre_tokenizer", step, {"type", "add_prefix_space", "trim_offsets", "use_regex"});
  byte_level_ = true;
  if (step.value("add_prefix_space", true)) {
    file_.cutting_steps.push_back({.kind = CuttingStep::Kind::prefix_space});
  }
  if (step.value("use_regex", true)) file_.cutting_steps.push_back({.pattern = kWords});
}

// The kinds that only move offsets or add special tokens around text, which is not wanted.
void Reader::check_post_processor(const Json& step) const {
  constexpr std::array kHarmless = {"none", "ByteLevel", "TemplateProcessing", "BertProcessing",
                                    "RobertaProcessing"};
  const std::string type = type_of(step);
  if (type == "Sequence") {
    for (const Json& part : step.at("processors")) check_post_processor(part);
  } else if (std::ranges::find(kHarmless, type) == kHarmless.end()) {
    refuse_value("post_processor", step);
  }
}

void Reader::check_decoder(const Json& step) const {
  const std::string type = type_of(step);
  if (type == "Sequence") {
    for (const Json& part : step.at("decoders")) check_decoder(part);
  } else if (type != "none" && type != "ByteLevel") {
    refuse_value("decoder", step);
  }
}

}  // namespace

TokenizerJson read_tokenizer_json(const std::string& path, bool matches_specials) {
  return Reader(path, matches_specials).read();
}

}  // namespace trireme::data
