#include "launch/device_agreement.h"

#include <algorithm>

#include "launch/agreement.h"
#include "launch/node.h"

namespace trireme::launch {
namespace {

constexpr char kEnd = '\n';  // of a part, in what ranks tell each other

std::string text_of(const FoundDevice& found) {
  return (found.cuda ? "cuda" : "cpu") + (kEnd + found.host) + kEnd + found.problem;
}

FoundDevice found_in(const std::string& text) {
  const std::size_t first = text.find(kEnd), second = text.find(kEnd, first + 1);
  return {.cuda = text.substr(0, first) == "cuda",
          .host = text.substr(first + 1, second - first - 1),
          .problem = text.substr(second + 1)};
}

}  // namespace

std::string device_mix(const std::vector<FoundDevice>& found) {
  const auto with_cuda = std::ranges::count_if(found, &FoundDevice::cuda);
  const auto all = static_cast<std::ptrdiff_t>(found.size());
  if (with_cuda == 0 || with_cuda == all) return "";
  const auto without = std::ranges::find_if_not(found, &FoundDevice::cuda);
  return "auto finds CUDA devices for " + std::to_string(with_cuda) + " of " +
         std::to_string(found.size()) + " ranks, and none for rank " +
         std::to_string(without - found.begin()) + " (" + without->host + ")" +
         (without->problem.empty() ? "" : ": " + without->problem) +
         "; ranks have to train on the same kind of device";
}

void agree_on_device(RankSetup& setup, Job& job) {
  const FoundDevice mine{.cuda = setup.loaded.config.train.device == Device::cuda,
                         .host = host_name(),
                         .problem = setup.no_cuda};
  std::vector<FoundDevice> found;
  for (const std::string& text : job.gather(text_of(mine))) found.push_back(found_in(text));
  const std::string mix = device_mix(found);
  all_or_none(job, [&] {
    if (mix.empty()) return;
    setup.loaded.reject("train.device", mix);
    throw ConfigError(setup.loaded.problems);
  });
}

}  // namespace trireme::launch
