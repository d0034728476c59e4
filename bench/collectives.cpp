#include "bench/collectives.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <span>

#include "bench/measure.h"
#include "runtime/comm/numbers.h"

namespace trireme::bench {
namespace {

using kernels::Category;
using kernels::Stream;
using kernels::Tensor;
using kernels::View;
using runtime::Communicator;
using runtime::Message;

constexpr int kRounds = 5;
constexpr int kMostRepeats = 1000;

// What an operation is given: two buffers of one size, of which it may use one.
struct Buffers {
  View first, second;

  View part(const Communicator& world) const {
    const std::int64_t columns = first.columns / world.size();
    return first.column_range(world.rank() * columns, columns);
  }
};

struct Collective {
  const char* name;
  std::function<void(Communicator&, Stream&, const Buffers&)> run;
  // Of the buffer, what goes over the link of a rank at the least, for so many ranks.
  double (*moved)(double ranks);
};

double all_but_one(double ranks) { return (ranks - 1) / ranks; }

const std::vector<Collective>& collectives() {
  static const std::vector<Collective> all{
      {"all_reduce",
       [](Communicator& world, Stream& stream, const Buffers& buffers) {
         world.all_reduce(stream, buffers.first);
       },
       [](double ranks) { return 2 * all_but_one(ranks); }},
      {"reduce_scatter",
       [](Communicator& world, Stream& stream, const Buffers& buffers) {
         world.reduce_scatter(stream, buffers.first, buffers.part(world));
       },
       all_but_one},
      {"all_gather",
       [](Communicator& world, Stream& stream, const Buffers& buffers) {
         world.all_gather(stream, buffers.part(world), buffers.first);
       },
       all_but_one},
      {"all_to_all",
       [](Communicator& world, Stream& stream, const Buffers& buffers) {
         world.all_to_all(stream, buffers.first, buffers.second);
       },
       all_but_one},
      {"broadcast",
       [](Communicator& world, Stream& stream, const Buffers& buffers) {
         world.broadcast(stream, buffers.first, 0);
       },
       [](double) { return 1.0; }},
      {"exchange",
       [](Communicator& world, Stream& stream, const Buffers& buffers) {
         const int next = (world.rank() + 1) % world.size();
         const int previous = (world.rank() + world.size() - 1) % world.size();
         const std::array<Message, 1> sent{{{next, buffers.first}}};
         const std::array<Message, 1> received{{{previous, buffers.second}}};
         world.exchange(stream, sent, received);
       },
       [](double) { return 1.0; }},
  };
  return all;
}

class Measurement {
 public:
  Measurement(kernels::Backend& backend, Communicator& world, const CollectivesOptions& options)
      : backend_(backend), world_(world), options_(options) {}

  CollectiveTime run(const Collective& collective, std::int64_t bytes) {
    const auto width = static_cast<std::int64_t>(kernels::size_of(options_.dtype));
    const std::int64_t piece = world_.size() * width;
    const kernels::Shape shape{1, (bytes + piece - 1) / piece * world_.size()};
    const Tensor first = zeros(shape), second = zeros(shape);
    const auto work = [&](int repeats) {
      for (int i = 0; i < repeats; ++i) collective.run(world_, *stream_, {first, second});
    };
    slowest(work, 1);  // connects, and touches its memory
    const double once = slowest(work, 1);
    const double wanted = options_.seconds / (kRounds * std::max(once, 1e-6));
    const int repeats = static_cast<int>(std::clamp(wanted, 1.0, double{kMostRepeats}));
    std::vector<double> rounds;
    for (int round = 0; round < kRounds; ++round) rounds.push_back(slowest(work, repeats));
    CollectiveTime time{
        .name = collective.name, .bytes = shape.size() * width, .seconds = median(rounds)};
    time.bus_rate = static_cast<double>(time.bytes) * collective.moved(world_.size()) /
                    std::max(time.seconds, 1e-9);
    return time;
  }

 private:
  Tensor zeros(kernels::Shape shape) {
    Tensor made = backend_.allocate(*stream_, shape, options_.dtype, Category::workspace);
    backend_.run(*stream_, kernels::Fill{.out = made, .value = 0});
    return made;
  }

  // Seconds of one of `repeats` on the rank that takes longest; all begin at nearly the same time.
  double slowest(const std::function<void(int)>& work, int repeats) {
    std::array<double, 1> seconds{0};
    runtime::largest_numbers(backend_, *stream_, world_, seconds);
    seconds[0] = seconds_of([&] {
                   work(repeats);
                   stream_->synchronize();
                 }) /
                 repeats;
    runtime::largest_numbers(backend_, *stream_, world_, seconds);
    return seconds[0];
  }

  kernels::Backend& backend_;
  Communicator& world_;
  const CollectivesOptions& options_;
  std::unique_ptr<Stream> stream_ = backend_.make_stream();
};

}  // namespace

std::vector<std::string> collective_names() {
  std::vector<std::string> names;
  for (const Collective& collective : collectives()) names.emplace_back(collective.name);
  return names;
}

std::vector<CollectiveTime> run_collectives(kernels::Backend& backend, Communicator& world,
                                            const CollectivesOptions& options) {
  kernels::expects(world.size() > 1, "bench collectives: two ranks or more");
  Measurement measurement(backend, world, options);
  std::vector<CollectiveTime> times;
  for (const Collective& collective : collectives()) {
    if (std::string(collective.name).find(options.only) == std::string::npos) continue;
    for (const std::int64_t bytes : options.bytes) {
      times.push_back(measurement.run(collective, bytes));
    }
  }
  return times;
}

}  // namespace trireme::bench
