#include "data/token_file_writer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

#include "data/error.h"
#include "data/token_file.h"
#include "tests/data/scratch_folder.h"

namespace trireme::data {
namespace {

namespace fs = std::filesystem;

std::vector<std::int32_t> all_tokens(const TokenFile& file) {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(file.tokens()));
  file.read(0, tokens);
  return tokens;
}

using TokenFileWriterTest = ScratchFolder;

TEST_F(TokenFileWriterTest, WritesWhatMegatronReads) {
  TokenFileWriter writer(in_folder("corpus"), 50257);
  writer.add_document(std::vector<std::int32_t>{7, 8});
  writer.add_document({});
  writer.add_document(std::vector<std::int32_t>{50256});
  EXPECT_EQ(writer.documents(), 3);
  EXPECT_EQ(writer.tokens(), 3);
  EXPECT_FALSE(fs::exists(in_folder("corpus.bin")));
  writer.finish();

  EXPECT_EQ(bytes_of_file(in_folder("corpus.bin")), bytes_of_values<std::uint16_t>({7, 8, 50256}));
  EXPECT_EQ(bytes_of_file(in_folder("corpus.idx")),
            from_hex("4d4d4944494458000001000000000000000803000000000000000400000000000000") +
                bytes_of_values<std::int32_t>({2, 0, 1}) +
                bytes_of_values<std::int64_t>({0, 4, 4, 0, 1, 2, 3}));
  EXPECT_FALSE(fs::exists(in_folder("corpus.bin.tmp")));
  EXPECT_FALSE(fs::exists(in_folder("corpus.idx.tmp")));
  check_whole(*open_token_file(in_folder("corpus")), 50257);
}

TEST_F(TokenFileWriterTest, ChoosesTheTokenSizeAsMegatronDoes) {
  const auto token_bytes = [&](std::int64_t vocab_size) {
    TokenFileWriter writer(in_folder("corpus"), vocab_size);
    writer.add_document(std::vector<std::int32_t>(10000, 65498));
    writer.finish();
    const auto file = open_token_file(in_folder("corpus"));
    EXPECT_EQ(all_tokens(*file), std::vector<std::int32_t>(10000, 65498));
    return file->token_bytes();
  };
  EXPECT_EQ(token_bytes(65499), 2);
  EXPECT_EQ(token_bytes(65500), 4);
}

TEST_F(TokenFileWriterTest, StreamsManyDocuments) {
  std::vector<std::int32_t> expected;
  TokenFileWriter writer(in_folder("corpus"), 100000);
  for (std::int32_t document = 0; document < 3000; ++document) {
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(document % 500));
    std::iota(tokens.begin(), tokens.end(), document);
    writer.add_document(tokens);
    expected.insert(expected.end(), tokens.begin(), tokens.end());
  }
  writer.finish();
  EXPECT_EQ(all_tokens(*open_token_file(in_folder("corpus"))), expected);
}

TEST_F(TokenFileWriterTest, ReplacesAnOlderPair) {
  for (const std::int32_t token : {1, 2}) {
    TokenFileWriter writer(in_folder("corpus"), 300);
    writer.add_document(std::vector<std::int32_t>(static_cast<std::size_t>(token), token));
    writer.finish();
  }
  EXPECT_EQ(all_tokens(*open_token_file(in_folder("corpus"))), (std::vector<std::int32_t>{2, 2}));
}

TEST_F(TokenFileWriterTest, LeavesNothingBehindWhenItDoesNotFinish) {
  { TokenFileWriter(in_folder("corpus"), 300).add_document(std::vector<std::int32_t>{1}); }
  expect_error(Fault::corrupt, {"no tokens"},
               [&] { TokenFileWriter(in_folder("corpus"), 300).finish(); });
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(TokenFileWriterTest, NeverPutsNewTokensBesideAnOldIndex) {
  fs::create_directories(in_folder("corpus.idx/that cannot be removed"));
  TokenFileWriter writer(in_folder("corpus"), 300);
  writer.add_document(std::vector<std::int32_t>{1});
  expect_error(Fault::io, {"corpus.idx", "cannot be removed"}, [&] { writer.finish(); });
  EXPECT_FALSE(fs::exists(in_folder("corpus.bin")));
}

TEST_F(TokenFileWriterTest, RefusesTokensOutsideTheVocabulary) {
  TokenFileWriter writer(in_folder("corpus"), 300);
  writer.add_document(std::vector<std::int32_t>{299});
  for (const std::int32_t token : {300, -1}) {
    expect_error(Fault::corrupt, {"token 1", "document 1", std::to_string(token), "300"}, [&] {
      writer.add_document(std::vector<std::int32_t>{0, token});
    });
  }
}

TEST_F(TokenFileWriterTest, SaysThatTheDiskIsFull) {
  fs::create_symlink("/dev/full", in_folder("corpus.bin.tmp"));
  expect_error(Fault::io, {"corpus.bin.tmp", "No space left"}, [&] {
    TokenFileWriter writer(in_folder("corpus"), 300);
    writer.add_document(std::vector<std::int32_t>(5000000, 7));
  });
  EXPECT_TRUE(fs::is_empty(folder_));
  EXPECT_TRUE(fs::exists("/dev/full"));
}

TEST_F(TokenFileWriterTest, SaysThatTheFolderCannotBeWritten) {
  for (const std::string& folder : {in_folder("absent"), std::string("/proc")}) {
    expect_error(Fault::io, {folder + "/corpus.bin.tmp", "cannot be created"},
                 [&] { TokenFileWriter(folder + "/corpus", 300); });
  }
}

}  // namespace
}  // namespace trireme::data
