#include "launch/run_trace.h"

#include <fmt/core.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>

#include "kernels/log.h"
#include "runtime/trace/traced_communicator.h"

namespace trireme::launch {
namespace {

using runtime::Axis;

// Its place on every axis that has several: "tensor 1, pipeline 0".
std::string place_of(int rank, const runtime::MeshShape& mesh) {
  std::string text;
  for (const Axis axis : {Axis::tensor, Axis::context, Axis::pipeline, Axis::data}) {
    if (mesh.size(axis) == 1) continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name_of(axis),
                        mesh.coordinate(rank, axis));
  }
  return text;
}

}  // namespace

RunTrace::RunTrace(Job& job, const std::vector<std::string>& hosts, const runtime::MeshShape& mesh,
                   runtime::StepRange steps)
    : rank_{.rank = job.rank(),
            .name = {},
            .pipeline = std::to_string(mesh.color(job.rank(), Axis::pipeline)),
            .clock = agree_on_clock(job, hosts)},
      spans_(steps) {
  const std::string place = place_of(rank_.rank, mesh);
  rank_.name = fmt::format("rank {}{} on {}", rank_.rank, place.empty() ? "" : " (" + place + ")",
                           hosts[static_cast<std::size_t>(rank_.rank)]);
}

runtime::Communicator& RunTrace::watch(runtime::Communicator& world) {
  watched_ = runtime::make_traced(world, spans_);
  return *watched_;
}

void RunTrace::write(const std::filesystem::path& folder,
                     const std::vector<runtime::Span>& spans) const {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const std::filesystem::path path = folder / fmt::format("rank-{:05}.json", rank_.rank);
  std::ofstream file(path, std::ios::trunc);
  file << trace_json(rank_, spans_.lanes(), spans) << std::flush;
  if (!file) {
    kernels::log().warn("rank {}: the trace {} cannot be written: {}", rank_.rank, path.string(),
                        std::strerror(errno));
  }
}

}  // namespace trireme::launch
