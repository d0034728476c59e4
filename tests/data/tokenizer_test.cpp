#include "data/tokenizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/byte_pair.h"
#include "data/error.h"
#include "data/nfc.h"
#include "data/utf8.h"
#include "tests/data/scratch_folder.h"

namespace trireme::data {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Ids = std::vector<std::int32_t>;

// What tests/data/make_golden.py wrote, with the reference libraries.
std::string golden(const std::string& name) {
  return (fs::path(__FILE__).parent_path() / "golden" / name).string();
}

Json read_json(const std::string& path) {
  std::ifstream file(path);
  return Json::parse(file);
}

class TokenizerTest : public ScratchFolder {
 protected:
  // The base tokenizer with a JSON merge patch.
  std::unique_ptr<Tokenizer> patched(const Json& patch,
                                     Specials specials = Specials::as_text) const {
    Json file = base_;
    file.merge_patch(patch);
    return make_byte_pair(write("tokenizer.json", file.dump()), specials);
  }

  // Expects every one of `words` in the message.
  void refuses(const Json& patch, const std::vector<std::string>& words) const {
    expect_error(Fault::corrupt, words, [&] { patched(patch); });
  }

  std::vector<std::string> texts() const { return encodings_["texts"]; }

  const Json base_ = read_json(golden("tokenizer.json"));
  const Json encodings_ = read_json(golden("encodings.json"));
};

TEST(ByteTokenizer, MapsBytesToThemselves) {
  const auto bytes = make_byte_tokenizer();
  EXPECT_EQ(bytes->vocab_size(), 257);
  EXPECT_EQ(bytes->end_of_document(), 256);
  EXPECT_EQ(bytes->name(), "bytes");
  EXPECT_EQ(bytes->encode("Aé\xff"), (Ids{65, 0xc3, 0xa9, 0xff}));
  EXPECT_EQ(bytes->decode(bytes->encode("any \xff bytes\n")), "any \xff bytes\n");
  EXPECT_EQ(bytes->decode(Ids{65, 256}), "A<|endoftext|>");
  EXPECT_THROW(bytes->decode(Ids{257}), DataError);
  EXPECT_THROW(bytes->decode(Ids{-1}), DataError);
}

using BytePairTest = TokenizerTest;

TEST_F(BytePairTest, EncodesAsTheReferenceDoes) {
  for (const Json& one : encodings_["cases"]) {
    const bool as_tokens = one["specials_as_tokens"];
    const auto tokenizer =
        patched(one["patch"], as_tokens ? Specials::as_tokens : Specials::as_text);
    for (std::size_t i = 0; i < texts().size(); ++i) {
      EXPECT_EQ(tokenizer->encode(texts()[i]), one["ids"][i].get<Ids>())
          << one["name"] << (as_tokens ? " with specials: " : ": ") << texts()[i];
    }
  }
}

TEST_F(BytePairTest, ReadsMergesInBothForms) {
  Json merges = Json::array();
  for (const Json& merge : base_["model"]["merges"]) {
    merges.push_back(std::string(merge[0]) + " " + std::string(merge[1]));
  }
  const auto old_form = patched({{"model", {{"merges", merges}, {"type", nullptr}}}});
  const auto new_form = patched(Json::object());
  for (const std::string& text : texts()) EXPECT_EQ(old_form->encode(text), new_form->encode(text));
}

TEST_F(BytePairTest, DecodesWhatItEncodes) {
  const auto tokenizer = patched(Json::object());
  for (const std::string& text : texts()) {
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  }
  std::string bytes = "cut off \xe4\xbd, overlong \xc0\xaf, surrogate \xed\xa0\x80, \xf5\xff";
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(bytes)), bytes);
}

TEST_F(BytePairTest, ReadsSpecialTokensOnlyWhenToldTo) {
  const std::string text = "a<|endoftext|>b";
  const auto plain = patched(Json::object());
  EXPECT_EQ(plain->end_of_document(), 0);
  EXPECT_EQ(std::ranges::count(plain->encode(text), 0), 0);
  EXPECT_EQ(plain->decode(plain->encode(text)), text);

  const auto obedient = patched(Json::object(), Specials::as_tokens);
  const Ids ids = obedient->encode(text);
  ASSERT_EQ(ids.size(), 3);
  EXPECT_EQ(ids[1], 0);
  EXPECT_EQ(plain->decode(ids), text);
}

TEST_F(BytePairTest, FindsTheLongestAddedToken) {
  const auto added = [](int id, const char* content) {
    return Json{{"id", id}, {"content", content}, {"special", false}};
  };
  const Json end = {{"id", 0}, {"content", "<|endoftext|>"}, {"special", true}};
  const auto tokenizer = patched(
      {{"added_tokens", {end, added(5000, "<x"), added(5001, "<x>"), added(5002, "<x>y<")}}});
  EXPECT_EQ(tokenizer->encode("<x><x<x>y<<x"), (Ids{5001, 5000, 5002, 5000}));
}

TEST_F(BytePairTest, CountsAddedTokensAsVocabulary) {
  const auto size = static_cast<std::int64_t>(base_["model"]["vocab"].size());
  const auto base = patched(Json::object());
  EXPECT_EQ(base->vocab_size(), size);
  EXPECT_THROW(base->decode(Ids{static_cast<std::int32_t>(size)}), DataError);

  const Json far = {{"id", size + 5}, {"content", "<|end_of_text|>"}, {"special", true}};
  const auto more = patched({{"added_tokens", {far}}});
  EXPECT_EQ(more->vocab_size(), size + 6);
  EXPECT_EQ(more->decode(Ids{static_cast<std::int32_t>(size + 5)}), "<|end_of_text|>");
  // Nothing has the ids between.
  EXPECT_THROW(more->decode(Ids{static_cast<std::int32_t>(size + 4)}), DataError);
}

TEST_F(BytePairTest, PrefersTheSurestEndOfDocument) {
  const auto end = [&](const std::vector<std::string>& names) {
    Json tokens = Json::array();
    for (std::size_t i = 0; i < names.size(); ++i) {
      tokens.push_back({{"id", 5000 + i}, {"content", names[i]}, {"special", true}});
    }
    Json vocabulary = {{"<|endoftext|>", nullptr}};
    return patched({{"added_tokens", tokens}, {"model", {{"vocab", vocabulary}}}})
        ->end_of_document();
  };
  EXPECT_EQ(end({"<|im_end|>", "</s>", "<|end_of_text|>"}), 5002);
  EXPECT_EQ(end({"<|im_end|>", "<|end_of_text|>", "<|endoftext|>"}), 5002);
  EXPECT_EQ(end({"<|im_end|>"}), 5000);
  expect_error(Fault::corrupt, {"ends a document", "<|endoftext|>"}, [&] { end({"<pad>"}); });
}

TEST_F(BytePairTest, RefusesByNameWhatItCannotDo) {
  const auto sequence = [](const Json& step) {
    return Json{{"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {step}}}}};
  };
  refuses({{"normalizer", {{"type", "Lowercase"}}}}, {"tokenizer.json", "normalizer", "Lowercase"});
  refuses({{"pre_tokenizer", {{"type", "Whitespace"}}}}, {"pre_tokenizer", "Whitespace"});
  refuses({{"pre_tokenizer", nullptr}}, {"ByteLevel"});
  refuses({{"decoder", {{"type", "WordPiece"}}}}, {"decoder", "WordPiece"});
  refuses({{"post_processor", {{"type", "Novel"}}}}, {"post_processor", "Novel"});
  refuses({{"truncation", {{"max_length", 5}}}}, {"truncation"});
  refuses({{"surprise", 1}}, {"surprise"});
  refuses({{"model", {{"type", "Unigram"}}}}, {"Unigram"});
  refuses({{"model", {{"dropout", 0.1}}}}, {"dropout", "0.1"});
  refuses({{"model", {{"byte_fallback", true}}}}, {"byte_fallback"});
  refuses({{"model", {{"continuing_subword_prefix", "##"}}}}, {"continuing_subword_prefix"});
  refuses({{"model", {{"surprise", 1}}}}, {"surprise"});
  const Json split = {{"type", "Split"}, {"pattern", {{"Regex", "a+"}}}, {"behavior", "Isolated"}};
  Json merging = split;
  merging["behavior"] = "MergedWithPrevious";
  refuses(sequence(merging), {"MergedWithPrevious"});
  for (const char* pattern : {"(", "a*", "\\w+", "\\bword", "^a", "a$", "[a[b]]", "[a&&b]"}) {
    Json other = split;
    other["pattern"]["Regex"] = pattern;
    Json patch = sequence(other);
    patch["pre_tokenizer"]["pretokenizers"].push_back(base_["pre_tokenizer"]);
    refuses(patch, {"pre_tokenizer pattern"});
  }
  const Json stripping = {{"id", 0}, {"content", "<x>"}, {"special", false}, {"lstrip", true}};
  refuses({{"added_tokens", {stripping}}}, {"<x>", "lstrip"});
}

TEST_F(BytePairTest, RefusesBrokenFiles) {
  refuses({{"model", {{"vocab", {{"a", nullptr}}}}}}, {"byte 97"});
  refuses({{"model", {{"vocab", {{"a", 99999999}}}}}}, {"99999999"});
  refuses({{"model", {{"vocab", {{"a", -1}}}}}}, {"-1"});
  refuses({{"model", {{"vocab", {{"a", base_["model"]["vocab"]["b"]}}}}}}, {"two tokens"});
  refuses({{"model", {{"merges", {"a b c"}}}}}, {"a b c"});
  refuses({{"model", {{"merges", {"a"}}}}}, {"merge"});
  refuses({{"model", {{"merges", Json::array({Json::array({"a", "zzzz"})})}}}},
          {"zzzz", "not in its vocabulary"});
  refuses({{"model", {{"merges", nullptr}}}}, {"merges"});
  refuses({{"model", nullptr}}, {"model"});
  const auto corrupt = [&](const std::string& text, const std::string& word) {
    const std::string path = write("broken.json", text);
    expect_error(Fault::corrupt, {"broken.json", word}, [&] { make_byte_pair(path); });
  };
  corrupt("", "tokenizer.json");
  corrupt("{\"model\"", "tokenizer.json");
  corrupt("[]", "tokenizer.json");
  corrupt("{\"model\":{\"type\":\"BPE\",\"type\":\"BPE\"}}", "twice");
  corrupt("\xff", "tokenizer.json");
}

TEST_F(BytePairTest, TakesLongPiecesInItsStride) {
  const auto tokenizer = patched(Json::object());
  const std::string letters(500000, 'a');
  const std::string spaces(500000, ' ');
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(letters)), letters);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(spaces + "x")), spaces + "x");
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  EXPECT_LT(seconds.count(), 60);  // a merge that takes quadratic time needs minutes
}

TEST(Merging, TakesTheEarliestMergeThenTheLeftmostPlace) {
  BytePair::Vocabulary vocabulary;
  for (std::size_t byte = 0; byte < 256; ++byte) {
    vocabulary.bytes[byte] = static_cast<std::int32_t>(byte);
  }
  vocabulary.merges = {{'a', 'a', 300}, {'b', 'c', 301}, {'a', 'b', 302}, {300, 301, 303}};
  const BytePair merging(vocabulary);
  const auto encode = [&](std::string_view piece) {
    BytePair::Scratch scratch;
    Ids ids;
    merging.encode(piece, scratch, ids);
    return ids;
  };
  EXPECT_EQ(encode("aaa"), (Ids{300, 'a'}));
  EXPECT_EQ(encode("abc"), (Ids{'a', 301}));
  EXPECT_EQ(encode("ab"), (Ids{302}));
  EXPECT_EQ(encode("aabc"), (Ids{303}));
  EXPECT_EQ(encode("aaabc"), (Ids{300, 'a', 301}));
  EXPECT_EQ(encode(""), Ids{});
}

TEST_F(BytePairTest, NormalizesToFormC) {
  const std::vector<std::string> normal = encodings_["nfc"];
  for (std::size_t i = 0; i < normal.size(); ++i) {
    EXPECT_EQ(to_nfc(texts()[i]), normal[i]);
    EXPECT_EQ(to_nfc(normal[i]), normal[i]);
  }
  // A syllable with a trailing consonant takes no second one.
  EXPECT_EQ(to_nfc("\u1100\u1161\u11a8\u11a8"), "\uac01\u11a8");
  // A mark is kept from its letter by another of the same class.
  EXPECT_EQ(to_nfc("a\u030d\u0301"), "a\u030d\u0301");
  EXPECT_EQ(to_nfc(""), "");
  EXPECT_EQ(to_nfc("\xcc\x81"), "\xcc\x81");
}

TEST(Utf8, EndsAtTheFirstByteThatIsNoneOfIt) {
  EXPECT_EQ(valid_utf8_prefix("aé\u4f60\U0001f600"), 10);
  for (const char* foreign :
       {"\x80", "\xc3", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe4\xbd", "\xe4\xbdx", "\xff"}) {
    EXPECT_EQ(valid_utf8_prefix("ab" + std::string(foreign)), 2);
  }
}

using SentencePieceTest = TokenizerTest;

TEST_F(SentencePieceTest, EncodesAsTheReferenceDoes) {
  const auto tokenizer = make_sentence_piece(golden("tiny.model"));
  EXPECT_EQ(tokenizer->vocab_size(), 700);
  EXPECT_EQ(tokenizer->end_of_document(), 2);
  EXPECT_EQ(tokenizer->name(), golden("tiny.model"));
  for (std::size_t i = 0; i < texts().size(); ++i) {
    const Ids ids = tokenizer->encode(texts()[i]);
    EXPECT_EQ(ids, encodings_["sentence_piece"][i].get<Ids>()) << texts()[i];
    EXPECT_EQ(tokenizer->decode(ids), texts()[i]);
  }
  EXPECT_THROW(tokenizer->decode(Ids{700}), DataError);
  EXPECT_THROW(tokenizer->decode(Ids{-1}), DataError);
}

TEST_F(SentencePieceTest, RefusesBrokenFiles) {
  for (const char* text : {"", "not a model", "\x0a\xff\xff\xff\x7f"}) {
    const std::string path = write("broken.model", text);
    expect_error(Fault::corrupt, {"broken.model"}, [&] { make_sentence_piece(path); });
  }
}

using MakeTokenizer = TokenizerTest;

TEST_F(MakeTokenizer, UnderstandsEveryForm) {
  EXPECT_EQ(make_tokenizer("bytes")->vocab_size(), 257);
  EXPECT_EQ(make_tokenizer(golden("tokenizer.json"))->vocab_size(), 900);
  EXPECT_EQ(make_tokenizer(golden("tiny.model"))->vocab_size(), 700);
  const auto from_folder = make_tokenizer(golden(""));
  EXPECT_EQ(from_folder->vocab_size(), 900);
  EXPECT_EQ(make_tokenizer(from_folder->name())->vocab_size(), 900);
}

TEST_F(MakeTokenizer, ListsTheFormsWhenItUnderstandsNone) {
  for (const std::string& spec : {std::string("byte"), std::string(), folder_.string()}) {
    expect_error(Fault::missing, {"\"" + spec + "\"", "\"bytes\"", "tokenizer.json", ".model"},
                 [&] { make_tokenizer(spec); });
  }
  for (const char* path : {"none.json", "none.model"}) {
    expect_error(Fault::missing, {path}, [&] { make_tokenizer(path); });
  }
}

}  // namespace
}  // namespace trireme::data
