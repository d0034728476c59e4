#include "data/token_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include "data/error.h"
#include "data/token_file_writer.h"
#include "tests/data/scratch_folder.h"

namespace trireme::data {
namespace {

// Sequences of 2, 3 and 1 tokens; documents {0, 1} and {2}; u16.
const std::string kGoldenIndex =
    "4d4d49444944580000"
    "0100000000000000"
    "08"
    "0300000000000000"
    "0300000000000000"
    "02000000"
    "03000000"
    "01000000"
    "0000000000000000"
    "0400000000000000"
    "0a00000000000000"
    "0000000000000000"
    "0200000000000000"
    "0300000000000000";

template <class Value>
std::string with_value(std::string bytes, std::size_t offset, Value value) {
  std::memcpy(bytes.data() + offset, &value, sizeof(Value));
  return bytes;
}

std::vector<std::int32_t> all_tokens(const TokenFile& file) {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(file.tokens()));
  file.read(0, tokens);
  return tokens;
}

class TokenFileTest : public ScratchFolder {
 protected:
  // The pair of the golden index, or of a broken one.
  std::string write_pair(const std::string& index, const std::string& tokens) const {
    write("corpus.bin", tokens);
    write("corpus.idx", index);
    return in_folder("corpus");
  }

  std::string golden_tokens() const {
    return bytes_of_values<std::uint16_t>({7, 8, 9, 10, 11, 65535});
  }

  std::string llmc(std::int32_t magic, std::int32_t version, std::int32_t tokens) const {
    std::vector<std::int32_t> header(256);
    header[0] = magic;
    header[1] = version;
    header[2] = tokens;
    return bytes_of_values(header);
  }

  static void refuses(const std::string& path, const std::vector<std::string>& words) {
    expect_error(Fault::corrupt, words, [&] { open_token_file(path); });
  }
};

TEST_F(TokenFileTest, ReadsTheGoldenMegatronBytes) {
  const std::string prefix = write_pair(from_hex(kGoldenIndex), golden_tokens());
  for (const std::string ending : {"", ".bin", ".idx"}) {
    const auto file = open_token_file(prefix + ending);
    EXPECT_EQ(file->format(), "Megatron");
    EXPECT_EQ(file->path(), prefix + ".bin");
    EXPECT_EQ(file->token_bytes(), 2);
    EXPECT_EQ(file->documents(), 2);
    EXPECT_EQ(file->document_start(0), 0);
    EXPECT_EQ(file->document_start(1), 5);
    EXPECT_EQ(file->document_start(2), 6);
    EXPECT_THROW(file->document_start(3), std::out_of_range);
    EXPECT_THROW(file->document_start(-1), std::out_of_range);
    EXPECT_EQ(all_tokens(*file), (std::vector<std::int32_t>{7, 8, 9, 10, 11, 65535}));
    check_whole(*file, 65536);
  }
}

TEST_F(TokenFileTest, AcceptsMultimodalIndicesAndIgnoresTheirModes) {
  const std::string index = from_hex(kGoldenIndex) + std::string(3, '\1');
  EXPECT_EQ(open_token_file(write_pair(index, golden_tokens()))->documents(), 2);
}

TEST_F(TokenFileTest, ReadsEveryIntegerDtype) {
  const auto expect = [&](char code, const std::string& bytes) {
    // One sequence and one document of three tokens.
    std::string index = from_hex(kGoldenIndex).substr(0, 17) + code;
    index += bytes_of_values<std::int64_t>({1, 2}) + bytes_of_values<std::int32_t>({3}) +
             bytes_of_values<std::int64_t>({0, 0, 1});
    const auto file = open_token_file(write_pair(index, bytes));
    EXPECT_EQ(all_tokens(*file), (std::vector<std::int32_t>{1, 2, 100})) << int{code};
  };
  expect(1, bytes_of_values<std::uint8_t>({1, 2, 100}));
  expect(2, bytes_of_values<std::int8_t>({1, 2, 100}));
  expect(3, bytes_of_values<std::int16_t>({1, 2, 100}));
  expect(4, bytes_of_values<std::int32_t>({1, 2, 100}));
  expect(5, bytes_of_values<std::int64_t>({1, 2, 100}));
  expect(8, bytes_of_values<std::uint16_t>({1, 2, 100}));
}

TEST_F(TokenFileTest, RefusesFloatingPointDtypes) {
  for (const char code : {char{6}, char{7}}) {
    refuses(write_pair(with_value(from_hex(kGoldenIndex), 17, code), golden_tokens()),
            {"corpus.idx", "floating point", std::to_string(int{code}), "expected"});
  }
  refuses(write_pair(with_value(from_hex(kGoldenIndex), 17, char{9}), golden_tokens()), {"code 9"});
}

TEST_F(TokenFileTest, RefusesForeignFiles) {
  const std::string index = from_hex(kGoldenIndex);
  refuses(write_pair("not an index, but long enough to be one", "x"), {"MMIDIDX"});
  refuses(write_pair("short", "x"), {"5 bytes", "34"});
  refuses(write_pair(with_value<std::uint64_t>(index, 9, 2), golden_tokens()),
          {"version 2", "expected 1"});
  refuses(write("story.bin", "once upon a time"), {"story.bin", "16 bytes", "1024"});
  refuses(write("story.bin", std::string(5000, 'x')), {"20240520", "20240801"});
  refuses(folder_.string(), {"expected a plain file"});
}

TEST_F(TokenFileTest, RefusesEveryTruncation) {
  const std::string index = from_hex(kGoldenIndex);
  for (std::size_t size = 0; size < index.size(); ++size) {
    refuses(write_pair(index.substr(0, size), golden_tokens()), {"corpus.idx", "expected"});
  }
  for (std::size_t size = 0; size < 12; ++size) {
    refuses(write_pair(index, golden_tokens().substr(0, size)), {"corpus.idx"});
  }
  refuses(write_pair(index, golden_tokens() + "12"), {"6 tokens", "holds 7"});
  refuses(write_pair(index + "1234", golden_tokens()), {"98 bytes", "expected 94"});
}

TEST_F(TokenFileTest, RefusesCountsThatWouldOverflow) {
  const std::string index = from_hex(kGoldenIndex);
  // In 64 bits, 12 and 8 times the first are 12 and 8 times 3, which the file has.
  for (const std::uint64_t count : {0x4000000000000003u, ~std::uint64_t{0}, std::uint64_t{4}}) {
    refuses(write_pair(with_value(index, 18, count), golden_tokens()), {"94 bytes"});
    refuses(write_pair(with_value(index, 26, count), golden_tokens()), {"94 bytes"});
  }
}

TEST_F(TokenFileTest, RefusesLengthsThatDoNotAddUp) {
  const std::string index = from_hex(kGoldenIndex);
  refuses(write_pair(with_value<std::int32_t>(index, 38, 4), golden_tokens()),
          {"7 tokens in all", "holds 6"});
  refuses(write_pair(with_value<std::int32_t>(index, 38, -3), golden_tokens()), {"-3 tokens"});
}

TEST_F(TokenFileTest, RefusesDocumentsOutOfOrder) {
  const std::string index = from_hex(kGoldenIndex);
  refuses(write_pair(with_value<std::int64_t>(index, 78, 4), golden_tokens()), {"document 0", "4"});
  refuses(write_pair(with_value<std::int64_t>(index, 78, -1), golden_tokens()), {"document 0"});
  refuses(write_pair(with_value<std::int64_t>(index, 70, 1), golden_tokens()), {"from 0 to its 3"});
  refuses(write_pair(with_value<std::int64_t>(index, 86, 2), golden_tokens()), {"from 0 to its 3"});
}

TEST_F(TokenFileTest, BelievesTheLengthsWhenPointersHaveOverflowed) {
  constexpr std::int32_t kSequences = 1000;
  std::vector<std::int32_t> lengths(kSequences);
  std::vector<std::int64_t> pointers(kSequences);
  std::vector<std::int64_t> documents(kSequences + 1);
  std::iota(documents.begin(), documents.end(), 0);
  std::vector<std::int64_t> starts = {0};
  for (std::size_t i = 0; i < kSequences; ++i) {
    lengths[i] = static_cast<std::int32_t>(i % 7);
    pointers[i] = i < 400 ? 2 * starts.back() : 2 * starts.back() - (std::int64_t{1} << 32);
    starts.push_back(starts.back() + lengths[i]);
  }
  const std::string index = from_hex(kGoldenIndex).substr(0, 18) +
                            bytes_of_values<std::int64_t>({kSequences, kSequences + 1}) +
                            bytes_of_values(lengths) + bytes_of_values(pointers) +
                            bytes_of_values(documents);
  const std::string tokens(static_cast<std::size_t>(2 * starts.back()), '\1');
  const auto file = open_token_file(write_pair(index, tokens));
  for (std::int64_t i = 0; i <= kSequences; ++i) {
    ASSERT_EQ(file->document_start(i), starts[static_cast<std::size_t>(i)]);
  }
  check_whole(*file, 258);
}

TEST_F(TokenFileTest, CheckingTheWholeIndexFindsWhatSamplingMisses) {
  TokenFileWriter writer(in_folder("corpus"), 300);
  for (int i = 0; i < 5000; ++i) writer.add_document(std::vector<std::int32_t>{1, 2, 3});
  writer.finish();
  const std::string index = bytes_of_file(in_folder("corpus.idx"));
  for (const std::size_t offset : {34u + 4 * 5000 + 8 * 1003, 34u + 12 * 5000 + 8 * 1003}) {
    write("corpus.idx", with_value<std::int64_t>(index, offset, 1));
    const auto file = open_token_file(in_folder("corpus"));
    expect_error(Fault::corrupt, {"corpus.idx"}, [&] { check_whole(*file, 300); });
  }
}

TEST_F(TokenFileTest, ReadsLlmcFiles) {
  const auto gpt2 = open_token_file(
      write("gpt2.bin", llmc(20240520, 1, 3) + bytes_of_values<std::uint16_t>({50256, 1, 65535})));
  EXPECT_EQ(gpt2->format(), "llm.c GPT-2");
  EXPECT_EQ(gpt2->token_bytes(), 2);
  EXPECT_EQ(gpt2->documents(), 0);
  EXPECT_THROW(gpt2->document_start(0), std::out_of_range);
  EXPECT_EQ(all_tokens(*gpt2), (std::vector<std::int32_t>{50256, 1, 65535}));

  const auto llama = open_token_file(
      write("llama3.bin", llmc(20240801, 7, 2) + bytes_of_values<std::uint32_t>({128000, 5})));
  EXPECT_EQ(llama->format(), "llm.c Llama 3");
  EXPECT_EQ(llama->token_bytes(), 4);
  EXPECT_EQ(all_tokens(*llama), (std::vector<std::int32_t>{128000, 5}));
}

TEST_F(TokenFileTest, RefusesBrokenLlmcFiles) {
  const std::string tokens = bytes_of_values<std::uint16_t>({1, 2, 3});
  refuses(write("a.bin", llmc(20240520, 2, 3) + tokens), {"version 2", "expected 1"});
  refuses(write("a.bin", llmc(20240801, 1, 3) + tokens), {"version 1", "expected 7"});
  refuses(write("a.bin", llmc(20240522, 1, 3) + tokens), {"20240522", "20240520"});
  refuses(write("a.bin", llmc(20240520, 1, 4) + tokens), {"1030 bytes", "expected 1032"});
  refuses(write("a.bin", llmc(20240520, 1, 2) + tokens), {"1030 bytes", "expected 1028"});
  refuses(write("a.bin", llmc(20240520, 1, 0)), {"0 tokens"});
  refuses(write("a.bin", llmc(20240520, 1, -5)), {"-5 tokens"});
  refuses(write("a.bin", llmc(20240520, 1, 3).substr(0, 100)), {"100 bytes"});
}

TEST_F(TokenFileTest, SaysWhatIsMissing) {
  const auto is_missing = [&](const std::string& path, const std::string& word) {
    expect_error(Fault::missing, {word}, [&] { open_token_file(path); });
  };
  is_missing(in_folder("none"), "none.idx");
  is_missing(in_folder("none.bin"), "none.bin");
  is_missing(in_folder("none.idx"), "none.bin");
  write("half.idx", from_hex(kGoldenIndex));
  is_missing(in_folder("half"), "half.bin");
}

TEST_F(TokenFileTest, RefusesToReadOutsideTheStream) {
  const auto file = open_token_file(write_pair(from_hex(kGoldenIndex), golden_tokens()));
  std::vector<std::int32_t> two(2);
  file->read(4, two);
  EXPECT_EQ(two, (std::vector<std::int32_t>{11, 65535}));
  EXPECT_THROW(file->read(5, two), std::out_of_range);
  EXPECT_THROW(file->read(-1, two), std::out_of_range);
  EXPECT_THROW(file->read(std::int64_t{1} << 62, two), std::out_of_range);
  EXPECT_NO_THROW(file->read(6, {}));
}

TEST_F(TokenFileTest, NamesTheFirstBadToken) {
  const auto small = open_token_file(write_pair(from_hex(kGoldenIndex), golden_tokens()));
  expect_error(Fault::corrupt, {"corpus.bin", "token 5", "65535", "50257"},
               [&] { check_whole(*small, 50257); });
  const auto large = open_token_file(
      write("big.bin", llmc(20240801, 7, 3) + bytes_of_values<std::uint32_t>({1, 2, 0x80000000u})));
  expect_error(Fault::corrupt, {"big.bin", "token 2"}, [&] { check_whole(*large, 128256); });
}

TEST_F(TokenFileTest, OpensAndReadsFilesBeyondFourGibibytes) {
  constexpr std::int64_t kTokens = std::int64_t{5} << 29;  // 5 GiB of i32 tokens
  constexpr std::int64_t kLength = std::int64_t{1} << 29;
  std::vector<std::int64_t> pointers;
  for (std::int64_t i = 0; i < 5; ++i) pointers.push_back(i * kLength * 2);
  write("huge.idx", from_hex(kGoldenIndex).substr(0, 18) + bytes_of_values<std::int64_t>({5, 6}) +
                        bytes_of_values(std::vector<std::int32_t>(5, std::int32_t{1} << 29)) +
                        bytes_of_values(pointers) +
                        bytes_of_values<std::int64_t>({0, 1, 2, 3, 4, 5}));
  const std::string path = write("huge.bin", "");
  ASSERT_EQ(::truncate(path.c_str(), 2 * kTokens), 0);
  std::fstream(path, std::ios::binary | std::ios::in | std::ios::out)
      .seekp(2 * (kTokens - 3))
      .write("\x01\x02", 2);

  const auto start = std::chrono::steady_clock::now();
  const auto file = open_token_file(path);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  EXPECT_LT(seconds.count(), 0.5);
  EXPECT_EQ(file->tokens(), kTokens);
  EXPECT_EQ(file->document_start(4), 4 * kLength);
  std::vector<std::int32_t> last(4);
  file->read(kTokens - 4, last);
  EXPECT_EQ(last, (std::vector<std::int32_t>{0, 0x201, 0, 0}));
}

TEST_F(TokenFileTest, HasAFingerprintOfItsContent) {
  const auto file = [&](const std::string& name, std::int32_t count, std::int32_t changed) {
    TokenFileWriter writer(in_folder(name), 1000);
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(count), 3);
    if (changed >= 0) tokens[static_cast<std::size_t>(changed)] = 4;
    writer.add_document(tokens);
    writer.finish();
    return open_token_file(in_folder(name))->fingerprint();
  };
  const std::string found = file("a", 5000, -1);
  EXPECT_EQ(found.size(), 16u);
  EXPECT_EQ(found, file("b", 5000, -1));
  EXPECT_NE(found, file("c", 5001, -1));
  for (const std::int32_t place : {0, 2500, 4999}) EXPECT_NE(found, file("d", 5000, place));
  // Of a large file the ends count, and places between them.
  EXPECT_NE(file("e", 900000, -1), file("f", 900000, 899999));
}

}  // namespace
}  // namespace trireme::data
