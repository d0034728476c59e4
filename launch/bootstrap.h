#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/comm/communicator.h"

namespace trireme::launch {

// The ranks that were started together, and this rank's place among them. The control plane: small
// texts on host memory. Training communicates through make_world().
class Job {
 public:
  Job() = default;
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;
  virtual ~Job() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual int local_rank() const = 0;  // among the ranks of this node
  virtual int local_size() const = 0;

  // Collective: every rank's text, on every rank, in the order of the ranks.
  virtual std::vector<std::string> gather(const std::string& text) = 0;

  // Collective: a communicator of all ranks.
  virtual std::unique_ptr<runtime::Communicator> make_world(
      runtime::CommunicatorOptions options) = 0;

  // How the ranks were started, and with what: "mpirun, Open MPI 4.1.4".
  virtual std::string description() const = 0;

  // How long a gather waits for other ranks before it throws CommunicationError.
  virtual void set_patience(std::chrono::milliseconds patience) = 0;

  // What this rank is doing, for when it fails or another one asks: "training step 7".
  void set_phase(const std::string& phase);
  const std::string& phase() const { return phase_; }

  // On rank 0: where else the error goes that ends the job.
  void set_log(std::function<void(const std::string&)> log);
  // From any thread.
  void log(const std::string& text);

  // Ends every rank, now, with this exit code. One of them says what failed, and if what failed was
  // waiting for others, which of them do not answer. `text` goes on after "rank 3 (node7) ".
  [[noreturn]] virtual void fail(int code, const std::string& text) = 0;

 private:
  // For others who ask.
  virtual void tell_phase(const std::string& /*phase*/) {}

  std::string phase_ = "reading the config";
  std::mutex log_mutex_;
  std::function<void(const std::string&)> log_;
};

// The job of mpirun or srun that started this process, or a job of one rank. Throws UsageError if
// Slurm started several tasks in a way that leaves each of them alone.
std::unique_ptr<Job> start_job();

std::string host_name();

}  // namespace trireme::launch
