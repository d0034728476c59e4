#include "data/megatron_file.h"

#include "data/sequence_index.h"

namespace trireme::data {
namespace {

class MegatronFile : public TokenFile {
 public:
  static std::shared_ptr<const TokenFile> open(const std::string& prefix) {
    MappedFile tokens(prefix + ".bin");
    SequenceIndex index(prefix + ".idx", tokens.size());
    const std::int64_t count = tokens.size() / bytes_of(index.type());
    Stream stream{.file = std::move(tokens),
                  .format = "Megatron",
                  .type = index.type(),
                  .offset = 0,
                  .tokens = count};
    return std::make_shared<MegatronFile>(std::move(stream), std::move(index));
  }

  MegatronFile(Stream stream, SequenceIndex index)
      : TokenFile(std::move(stream)), index_(std::move(index)) {}

  std::int64_t documents() const override { return index_.documents(); }
  std::int64_t document_start(std::int64_t document) const override {
    return index_.document_start(document);
  }
  void check_index() const override { index_.check_all(); }

 private:
  SequenceIndex index_;
};

}  // namespace

std::shared_ptr<const TokenFile> open_megatron_file(const std::string& prefix) {
  return MegatronFile::open(prefix);
}

}  // namespace trireme::data
