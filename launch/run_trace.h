#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "launch/bootstrap.h"
#include "launch/trace_file.h"
#include "runtime/comm/mesh.h"

namespace trireme::launch {

// The recorded steps of a run on one rank, and the file that they become.
class RunTrace {
 public:
  // Collective. `hosts` is the host of every rank.
  RunTrace(Job& job, const std::vector<std::string>& hosts, const runtime::MeshShape& mesh,
           runtime::StepRange steps);

  runtime::SpanLog& spans() { return spans_; }
  const runtime::StepRange& steps() const { return spans_.steps(); }

  // `world`, from now on watched. Borrows it.
  runtime::Communicator& watch(runtime::Communicator& world);

  // Into `folder`, which it makes. A picture is not worth a run: if it cannot be written, says why
  // in a warning.
  void write(const std::filesystem::path& folder, const std::vector<runtime::Span>& spans) const;

 private:
  TracedRank rank_;
  runtime::SpanLog spans_;
  std::unique_ptr<runtime::Communicator> watched_;
};

}  // namespace trireme::launch
