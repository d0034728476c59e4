#include "runtime/train/warm_up.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "tests/runtime/layout_run.h"
#include "tests/support/forwarding_backend.h"
#include "tests/support/forwarding_communicator.h"
#include "tests/support/model.h"

namespace trireme::runtime {
namespace {

// Products that a rank first makes when some stream may wait for another rank: on a device whose
// libraries then load code, which waits for all streams, these ranks wait for each other.
class LateProducts {
 public:
  void begin_to_wait() { waits_ = true; }
  void make(const kernels::Matmul& op) {
    std::string kind = op.transpose_a ? "a^T" : "a";
    kind += op.transpose_b ? " b^T" : " b";
    for (const kernels::View& view : {op.a, op.b, op.out}) {
      kind += " " + std::to_string(view.rows) + "x" + std::to_string(view.columns);
    }
    if (made_.insert(kind).second && waits_) late_.insert(kind);
  }
  const std::set<std::string>& late() const { return late_; }

 private:
  bool waits_ = false;
  std::set<std::string> made_, late_;
};

class WatchedBackend final : public test::ForwardingBackend {
 public:
  WatchedBackend(kernels::Backend& inner, LateProducts& products, bool first_use_waits)
      : ForwardingBackend(inner), products_(products), first_use_waits_(first_use_waits) {}

  bool first_use_waits() const override { return first_use_waits_; }

 private:
  void enqueue(kernels::Stream& stream, const kernels::Operation& operation) override {
    if (const auto* product = std::get_if<kernels::Matmul>(&operation)) products_.make(*product);
    ForwardingBackend::enqueue(stream, operation);
  }

  LateProducts& products_;
  bool first_use_waits_;
};

// Messages between stages are what a rank waits for without having been waited for.
class WatchedCommunicator final : public test::ForwardingCommunicator {
 public:
  template <class Inner>
  WatchedCommunicator(Inner&& inner, LateProducts& products)
      : ForwardingCommunicator(std::forward<Inner>(inner)), products_(products) {}

  void exchange(kernels::Stream& stream, std::span<const Message> sends,
                std::span<const Message> receives) override {
    products_.begin_to_wait();
    ForwardingCommunicator::exchange(stream, sends, receives);
  }

 private:
  std::unique_ptr<Communicator> wrap(std::unique_ptr<Communicator> group) override {
    return std::make_unique<WatchedCommunicator>(std::move(group), products_);
  }

  LateProducts& products_;
};

// Of the first of two pipeline ranks, in two steps and an evaluation.
std::set<std::string> late_products(const Layout& layout, bool first_use_waits) {
  const test::Corpus corpus(4000, 17, "warm-up");
  models::Shape shape = test::tiny_llama();
  shape.num_hidden_layers = 4;
  const TrainerOptions options =
      options_of({.shape = shape, .global_batch = 8, .steps = 2}, layout);
  const data::Sampler sampler = corpus.sampler(options.sequence_length, 3);
  const std::atomic<bool> stop = false;
  std::set<std::string> late;
  test::on_ranks(options.mesh.world(), [&](Communicator& world) {
    test::Device device;
    LateProducts products;
    WatchedBackend backend(*device.backend, products, first_use_waits);
    WatchedCommunicator watched(world, products);
    Trainer trainer(backend, watched, sampler, &sampler, options);
    trainer.run({.step = [](const StepRecord&) {}, .evaluation = [](std::int64_t, double) {}},
                stop);
    if (world.rank() == 0) late = products.late();
  });
  return late;
}

TEST(WarmUp, MakesEveryProductBeforeARankCanWaitForAnother) {
  for (const Layout& layout :
       {Layout{.pipeline = 2, .kind = "1f1b"}, Layout{.pipeline = 2, .kind = "zb-v"},
        Layout{.tensor = 2, .pipeline = 2, .kind = "zb-h1", .recompute = Recompute::full}}) {
    SCOPED_TRACE(layout.name());
    EXPECT_EQ(late_products(layout, true), std::set<std::string>());
    EXPECT_NE(late_products(layout, false), std::set<std::string>()) << "what the test is about";
  }
}

}  // namespace
}  // namespace trireme::runtime
