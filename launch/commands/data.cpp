#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>

#include "data/error.h"
#include "data/token_file.h"
#include "data/token_file_writer.h"
#include "data/tokenizer.h"
#include "launch/commands/commands.h"
#include "launch/console.h"

namespace trireme::launch {
namespace {

struct BuildArguments {
  std::string tokenizer = "bytes", output, separator;
  std::vector<std::string> files;
  bool json = false;
};

// Calls `use` with every document of a file, one at a time: all of it, or what stands between
// separators. Holds one document and one block of the file.
void each_document(const std::string& path, const std::string& separator,
                   const std::function<void(const std::string&)>& use) {
  std::ifstream file(path, std::ios::binary);
  std::string text, block(std::size_t{1} << 24, '\0');
  while (file) {
    file.read(block.data(), static_cast<std::streamsize>(block.size()));
    // A separator may lie across two blocks.
    std::size_t seen = text.size() - std::min(text.size(), separator.size());
    text.append(block, 0, static_cast<std::size_t>(file.gcount()));
    if (separator.empty()) continue;
    std::size_t start = 0;
    for (std::size_t end;
         (end = text.find(separator, std::max(start, seen))) != std::string::npos;) {
      use(text.substr(start, end - start));
      start = end + separator.size();
    }
    text.erase(0, start);
  }
  if (!file.eof()) throw data::DataError(data::Fault::io, path + ": cannot be read to its end");
  use(text);
}

// Before hours of work: every file that will not do.
void require_files(const std::vector<std::string>& paths) {
  std::string missing;
  for (const std::string& path : paths) {
    // Not opened: what writes into a pipe would lose its reader.
    if (access(path.c_str(), R_OK) == 0 && !std::filesystem::is_directory(path)) continue;
    missing += (missing.empty() ? "" : "\n  ") + path + ": no such file, or it cannot be read";
  }
  if (!missing.empty()) throw data::DataError(data::Fault::missing, missing);
}

ExitCode build(const BuildArguments& arguments) {
  require_files(arguments.files);
  const auto tokenizer = data::make_tokenizer(arguments.tokenizer);
  data::TokenFileWriter writer(arguments.output, tokenizer->vocab_size());
  for (const std::string& path : arguments.files) {
    each_document(path, arguments.separator, [&](const std::string& document) {
      auto tokens = tokenizer->encode(document);
      if (tokens.empty()) return;
      tokens.push_back(tokenizer->end_of_document());
      writer.add_document(tokens);
    });
  }
  writer.finish();
  if (arguments.json) {
    const nlohmann::ordered_json result = {{"output", arguments.output},
                                           {"tokenizer", tokenizer->name()},
                                           {"vocab_size", tokenizer->vocab_size()},
                                           {"documents", writer.documents()},
                                           {"tokens", writer.tokens()}};
    std::printf("%s\n", result.dump().c_str());
  } else {
    std::printf("%s.bin, %s.idx: %lld documents, %lld tokens of %s\n", arguments.output.c_str(),
                arguments.output.c_str(), static_cast<long long>(writer.documents()),
                static_cast<long long>(writer.tokens()), tokenizer->name().c_str());
  }
  return ExitCode::done;
}

struct InspectArguments {
  std::string path, tokenizer;
  std::int64_t vocab_size = 0;
  bool json = false;
};

// The first tokens of a file, as ids and, if it is known what made them, as text.
nlohmann::ordered_json first_tokens(const data::TokenFile& file, const std::string& tokenizer) {
  std::vector<std::int32_t> ids(
      static_cast<std::size_t>(std::min<std::int64_t>(file.tokens(), 16)));
  file.read(0, ids);
  nlohmann::ordered_json found = {{"first_tokens", ids}};
  if (!tokenizer.empty()) {
    ids.resize(static_cast<std::size_t>(std::min<std::int64_t>(file.tokens(), 200)));
    file.read(0, ids);
    found["text"] = data::make_tokenizer(tokenizer)->decode(ids);
  }
  return found;
}

ExitCode inspect(const InspectArguments& arguments) {
  const auto file = data::open_token_file(arguments.path);
  nlohmann::ordered_json found = {{"path", file->path()},
                                  {"format", file->format()},
                                  {"tokens", file->tokens()},
                                  {"bytes_per_token", file->token_bytes()},
                                  {"documents", file->documents()}};
  found.update(first_tokens(*file, arguments.tokenizer));
  const std::int64_t largest = std::int64_t{1} << 31;
  data::check_whole(*file, arguments.vocab_size > 0 ? arguments.vocab_size : largest);
  found["whole"] = true;
  if (arguments.json) {
    std::printf("%s\n",
                found.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    return ExitCode::done;
  }
  for (const auto& [name, value] : found.items()) {
    const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    std::printf("%-16s %s\n", name.c_str(), text.c_str());
  }
  return ExitCode::done;
}

}  // namespace

void add_data(CLI::App& app, Command& chosen) {
  auto* data = app.add_subcommand("data", "makes token files from text, and explains them");
  data->require_subcommand(1);
  data->footer("Example:\n  trireme data build --output build/corpus book.txt");
  auto* build_command =
      data->add_subcommand("build", "turns text files into PREFIX.bin and PREFIX.idx");
  // Lives as long as the parser that fills it in.
  auto to_build = std::make_shared<BuildArguments>();
  build_command
      ->add_option("--tokenizer", to_build->tokenizer,
                   "bytes, a tokenizer.json, or a SentencePiece .model")
      ->capture_default_str();
  build_command->add_option("--output", to_build->output, "PREFIX of the two files")->required();
  build_command->add_option("--separator", to_build->separator,
                            "a text that ends a document; default: each file is one document");
  build_command->add_option("files", to_build->files, "text files, UTF-8")->required();
  build_command->add_flag("--json", to_build->json, "the result as JSON");
  build_command->footer(
      "Example:\n  trireme data build --tokenizer bytes --output build/corpus book.txt");
  build_command->callback(
      [to_build, &chosen] { chosen = [to_build] { return build(*to_build); }; });
  auto* inspect_command =
      data->add_subcommand("inspect", "explains a token file and checks every token of it");
  auto to_inspect = std::make_shared<InspectArguments>();
  inspect_command
      ->add_option("path", to_inspect->path, "PREFIX of a Megatron pair, or an llm.c .bin")
      ->required();
  inspect_command->add_option("--tokenizer", to_inspect->tokenizer,
                              "shows the first tokens as text");
  inspect_command->add_option("--vocab-size", to_inspect->vocab_size, "ids must be below this");
  inspect_command->add_flag("--json", to_inspect->json, "the result as JSON");
  inspect_command->footer(
      "Example:\n  trireme data inspect build/corpus --tokenizer bytes --vocab-size 257");
  inspect_command->callback(
      [to_inspect, &chosen] { chosen = [to_inspect] { return inspect(*to_inspect); }; });
}

}  // namespace trireme::launch
