#include "launch/agreement.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <vector>

namespace trireme::launch {
namespace {

// "2, 5 (node7)": the ranks that failed alike, and where the first of them is.
std::string named(const std::vector<int>& ranks, const std::string& host) {
  std::string text;
  for (const int rank : ranks) text += (text.empty() ? "" : ", ") + std::to_string(rank);
  return "on rank " + text + " (" + host + "): ";
}

void print_failures(Job& job, const std::vector<std::string>& messages,
                    const std::vector<std::string>& hosts) {
  std::map<std::string, std::vector<int>> ranks_of;
  for (std::size_t r = 0; r < messages.size(); ++r) {
    if (!messages[r].empty()) ranks_of[messages[r]].push_back(static_cast<int>(r));
  }
  for (const auto& [message, ranks] : ranks_of) {
    const auto& host = hosts[static_cast<std::size_t>(ranks.front())];
    const std::string where = ranks.size() == messages.size() ? "" : named(ranks, host);
    std::fprintf(stderr, "error: %s%s\n", where.c_str(), message.c_str());
    job.log(where + message);
  }
}

}  // namespace

void all_or_none(Job& job, const std::function<void()>& work) {
  Failure failure;
  try {
    work();
  } catch (...) {
    failure = failure_of(std::current_exception());
  }
  const auto codes = job.gather(std::to_string(static_cast<int>(failure.code)));
  int worst = 0;
  for (const auto& code : codes) {
    if (const int value = std::stoi(code); value != 0 && (worst == 0 || value < worst))
      worst = value;
  }
  if (worst == 0) return;
  const auto messages = job.gather(failure.message);
  const auto hosts = job.gather(host_name());
  if (job.rank() == 0) print_failures(job, messages, hosts);
  throw AgreedEnd{static_cast<ExitCode>(worst)};
}

}  // namespace trireme::launch
