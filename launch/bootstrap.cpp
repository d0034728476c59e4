#include "launch/bootstrap.h"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "launch/config.h"
#include "launch/mpi_job.h"
#include "runtime/comm/local_world.h"

namespace trireme::launch {
namespace {

class LonelyJob final : public Job {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  int local_rank() const override { return 0; }
  int local_size() const override { return 1; }
  std::vector<std::string> gather(const std::string& text) override { return {text}; }
  std::unique_ptr<runtime::Communicator> make_world(runtime::CommunicatorOptions options) override {
    return std::move(runtime::make_local_world(1, options).front());
  }
  std::string description() const override { return "one process, no launcher"; }
  void set_patience(std::chrono::milliseconds) override {}
  [[noreturn]] void fail(int code, const std::string& text) override {
    const std::string whole = "rank 0 (" + host_name() + ") " + text;
    std::fprintf(stderr, "error: %s\n", whole.c_str());
    log(whole);
    std::_Exit(code);
  }
};

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value && *value;
}

}  // namespace

void Job::set_phase(const std::string& phase) {
  phase_ = phase;
  tell_phase(phase);
}

void Job::set_log(std::function<void(const std::string&)> log) {
  const std::lock_guard lock(log_mutex_);
  log_ = std::move(log);
}

void Job::log(const std::string& text) {
  const std::lock_guard lock(log_mutex_);
  if (log_) log_(text);
}

std::unique_ptr<Job> start_job() {
  const bool launched = is_set("OMPI_COMM_WORLD_SIZE") || is_set("PMIX_RANK") || is_set("PMI_RANK");
  if (launched) return make_mpi_job();
  const char* tasks = std::getenv("SLURM_NTASKS");
  if (is_set("SLURM_PROCID") && tasks && std::atoi(tasks) > 1) {
    throw UsageError("Slurm started " + std::string(tasks) +
                     " tasks that do not know of each other; start them with srun --mpi=pmix");
  }
  return std::make_unique<LonelyJob>();
}

std::string host_name() {
  std::array<char, 256> name = {};
  gethostname(name.data(), name.size() - 1);
  return name.data();
}

}  // namespace trireme::launch
