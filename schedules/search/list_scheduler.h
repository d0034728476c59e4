#pragma once

#include <queue>
#include <utility>
#include <vector>

#include "schedules/search/policy.h"
#include "schedules/search/problem.h"

namespace trireme::schedules::search {

// Builds an order in virtual time: whenever a rank is free and something has arrived, the policy
// chooses what it runs next. A rank always keeps room for the rest of the oldest micro-batch that
// it has not passed forward on all its stages (the banker's rule), so that no policy can run into
// a dead end: the oldest micro-batch of all can always go on.
class ListScheduler {
 public:
  explicit ListScheduler(const Problem& problem);

  // `target`: the objective that waiting must not put out of reach.
  const Order& run(const Policy& policy, double target);

  // The same, but every rank keeps to the forward and backward passes of `followed`: the policy
  // only places the weight gradients. Ends early, without all nodes, if they cannot make room.
  const Order& run_along(const Order& followed, const Policy& policy, double target);

  // Between the two: of the passes that are ready, a rank runs the one that is first in `wanted`.
  const Order& run_towards(const Order& wanted, const Policy& policy, double target);

 private:
  struct Rank {
    std::vector<int> next_forward, next_backward;  // per chunk: the next micro-batch
    std::vector<Node> weights;                     // put off, oldest first from first_weight
    std::size_t first_weight = 0;
    std::size_t position = 0;  // in the followed order
    int oldest = 0;            // first micro-batch with a forward pass to come
    int ahead = 0;             // forward passes without their backward pass
    double held = 0;           // chunks
    double free = 0;           // when the node that runs ends
    double idle = 0;           // since its first node
    double remaining = 0;      // time of the nodes to come
    bool started = false;
    bool last_was_forward = false;
    bool had_backward = false;

    bool has_weights() const { return first_weight < weights.size(); }
  };

  // What a rank could do now, and what is due.
  struct Options {
    int forward = -1;                          // chunk
    int backward = -1;                         // chunk
    double forward_key = 0, backward_key = 0;  // the smaller, the more wanted
    double forward_due = 0, backward_due = 0;
    bool no_room = false;  // a forward pass is ready and does not fit
  };

  struct Decision {
    Node node = -1;
    double wait_until = 0;  // if there is no node
  };

  void reset(const Policy& policy);
  void run_events();
  Options options_of(int rank, double now);
  Options followed_option(int rank, double now);
  void consider_forward(int rank, std::size_t chunk, double now, Options& options);
  void consider_backward(int rank, std::size_t chunk, double now, Options& options);
  bool may_go_ahead(int rank, std::size_t chunk) const;
  double forward_key(std::size_t chunk, int micro_batch, double arrival) const;
  double backward_key(std::size_t chunk, int micro_batch, double arrival) const;
  double deeper_due(std::size_t chunk) const;
  bool is_patient(const Rank& state) const;
  bool prefers_forward(const Rank& state) const;
  // Time the rank can lose without missing the target.
  double slack(int rank, double now) const;
  double length(int rank, int chunk, Half half) const;
  bool waits(int rank, double now, double due, double longest) const;
  Decision decide(int rank, double now);
  Decision decide_backward(int rank, double now, const Options& options);
  Decision decide_forward(int rank, double now, const Options& options);
  Decision decide_weight(int rank, double now, const Options& options);
  bool fills_gap(int rank, double now, double gap, double length) const;
  Node node_of(int rank, int chunk, Half half);
  bool has_room(const Rank& state, int rank, int micro_batch) const;
  void start(int rank, Node node, double now);

  const Problem& problem_;
  const Policy* policy_ = nullptr;
  const Order* followed_ = nullptr;
  std::vector<double> wanted_;  // per node: its place on its rank; empty: the policy's own choice
  double target_ = 0;
  std::vector<Rank> ranks_;
  std::vector<double> forward_ready_, backward_ready_;  // per (stage, micro-batch)
  std::vector<std::vector<Node>>
      arriving_;                         // per shared channel: nodes whose message is on its way
  std::vector<int> most_ahead_;          // per stage
  std::vector<double> due_;              // per chunk of the rank that decides
  using Event = std::pair<double, int>;  // time, rank
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  Order order_;
};

}  // namespace trireme::schedules::search
