#include "launch/input_agreement.h"

#include <algorithm>
#include <sstream>
#include <vector>

#include "checkpoints/digest.h"
#include "launch/agreement.h"
#include "launch/config_keys.h"
#include "launch/version.h"

namespace trireme::launch {
namespace {

std::string quoted(const std::string& line) { return line.empty() ? "nothing" : '"' + line + '"'; }

void append(std::string& text, const std::string& use, const data::Sampler& sampler) {
  for (const data::Source& source : sampler.choices().sources) {
    text += use + " data " + source.file->path() + " of " + std::to_string(source.file->tokens()) +
            " tokens, fingerprint " + source.file->fingerprint() + "\n";
  }
}

}  // namespace

std::string first_difference(const std::string& rank_0, const std::string& other) {
  std::istringstream lines_of_0(rank_0), lines(other);
  for (;;) {
    std::string of_0, line;
    std::getline(lines_of_0, of_0);
    std::getline(lines, line);
    if (of_0 == line && lines) continue;
    return quoted(line) + " where rank 0 has " + quoted(of_0);
  }
}

void agree_on(Job& job, const std::string& what, const std::string& text) {
  const std::vector<std::string> digests = job.gather(checkpoints::digest_of(text).hex());
  const auto differs = std::ranges::find_if(
      digests, [&](const std::string& digest) { return digest != digests.front(); });
  if (differs == digests.end()) return;
  const int other = static_cast<int>(differs - digests.begin());
  const bool is_told = job.rank() == 0 || job.rank() == other;
  const std::vector<std::string> texts = job.gather(is_told ? text : "");
  const std::vector<std::string> hosts = job.gather(is_told ? host_name() : "");
  const auto count = std::ranges::count_if(
      digests, [&](const std::string& digest) { return digest != digests.front(); });
  all_or_none(job, [&] {
    throw UsageError("ranks must have the same " + what + ", and " + std::to_string(count) +
                     " of " + std::to_string(digests.size()) + " have another than rank 0 (" +
                     hosts.front() + "); rank " + std::to_string(other) + " (" +
                     hosts[static_cast<std::size_t>(other)] + ") has " +
                     first_difference(texts.front(), texts[static_cast<std::size_t>(other)]));
  });
}

std::string text_of_config(const LoadedConfig& loaded) {
  return "program " + version_text() + "\n" + resolved_toml(loaded.config);
}

std::string text_of_data(const TrainingData& data) {
  std::string text;
  append(text, "training", *data.train);
  if (data.validation) append(text, "validation", *data.validation);
  return text;
}

}  // namespace trireme::launch
