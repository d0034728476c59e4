#include "kernels/arena_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "kernels/check.h"

namespace trireme::kernels {
namespace {

constexpr std::size_t kGrain = 512;

// Memory that nobody writes to: addresses are what is tested.
class Region final : public MemoryRegion {
 public:
  explicit Region(std::size_t capacity)
      : memory_(std::make_unique_for_overwrite<std::byte[]>(capacity)), capacity_(capacity) {}

  std::byte* begin() const override { return memory_.get(); }
  std::size_t usable() const override { return usable_; }
  bool grow_to(std::size_t bytes, std::size_t spare) override {
    if (bytes + spare > capacity_) return false;
    usable_ = std::max(usable_, bytes);
    return true;
  }

 private:
  std::unique_ptr<std::byte[]> memory_;
  std::size_t capacity_, usable_ = 0;
};

// A queue of work that nobody does: who waits for how much of whose is what is tested.
class Queue final : public Stream {
 public:
  struct Point final : Event {
    Point(const Queue* stream, int work) : of(stream), after(work) {}
    bool reached() const override { return false; }
    void wait() const override { FAIL() << "the host waits for no stream"; }

    const Queue* of;
    int after;  // pieces of work
  };
  struct Wait {
    const Queue* of;
    int after;
    bool operator==(const Wait&) const = default;
  };

  void work() { ++work_; }
  std::shared_ptr<const Event> record() override {
    if (is_lost) throw DeviceError("the device is lost");
    ++records;
    return std::make_shared<Point>(this, work_);
  }
  std::shared_ptr<const Instant> instant() override { return nullptr; }
  using Stream::wait_for;
  void wait_for(std::shared_ptr<const Event> event) override {
    const auto& point = dynamic_cast<const Point&>(*event);
    waits.push_back({point.of, point.after});
  }
  void synchronize() override {}
  Fail failing() override { return {}; }

  std::vector<Wait> waits;
  int records = 0;
  bool is_lost = false;

 private:
  int work_ = 0;
};

class ArenaPoolTest : public testing::Test {
 protected:
  explicit ArenaPoolTest(std::size_t grains = 64)
      : region_(new Region(grains * kGrain)), pool(std::unique_ptr<MemoryRegion>(region_)) {}

  std::size_t offset(void* data) const {
    return static_cast<std::size_t>(static_cast<std::byte*>(data) - region_->begin()) / kGrain;
  }
  void* take(std::size_t grains, Stream& on) {
    return pool.allocate(grains * kGrain, on, Category::activations);
  }
  void give(void* data, std::size_t grains, Stream& on) {
    pool.release(data, grains * kGrain, on, Category::activations);
  }
  std::size_t reserved() const { return region_->usable() / kGrain; }

  Queue stream, other;

 private:
  Region* region_;

 protected:
  ArenaPool pool;
};

TEST_F(ArenaPoolTest, AlignsWhatItGives) {
  EXPECT_EQ(offset(pool.allocate(1, stream, Category::workspace)), 0u);
  EXPECT_EQ(offset(pool.allocate(513, stream, Category::workspace)), 1u);
  EXPECT_EQ(offset(pool.allocate(0, stream, Category::workspace)), 3u);
  EXPECT_EQ(offset(pool.allocate(4, stream, Category::workspace)), 4u) << "nothing has a place too";
}

TEST_F(ArenaPoolTest, GivesTheSameStreamItsMemoryBackAtOnce) {
  void* first = take(3, stream);
  give(first, 3, stream);
  EXPECT_EQ(take(3, stream), first);
  EXPECT_EQ(reserved(), 3u);
}

TEST_F(ArenaPoolTest, DividesGapsAndJoinsThem) {
  void *a = take(4, stream), *b = take(4, stream), *c = take(4, stream);
  take(1, stream);
  give(a, 4, stream);
  EXPECT_EQ(offset(take(1, stream)), 0u);
  EXPECT_EQ(offset(take(2, stream)), 1u);
  give(c, 4, stream);
  give(b, 4, stream);
  EXPECT_EQ(offset(take(9, stream)), 3u) << "what was left of a, b and c";
  EXPECT_EQ(reserved(), 13u);
}

TEST_F(ArenaPoolTest, TakesTheLowestGapWithRoom) {
  void *a = take(2, stream), *b = take(4, stream);
  void* between = take(1, stream);
  void* c = take(3, stream);
  take(1, stream);
  for (auto [data, grains] : {std::pair{c, 3u}, {a, 2u}}) give(data, grains, stream);
  EXPECT_EQ(offset(take(3, stream)), 7u) << "two are too few";
  give(b, 4, stream);
  EXPECT_EQ(offset(take(3, stream)), 0u) << "a and b";
  EXPECT_EQ(offset(between), 6u);
}

TEST_F(ArenaPoolTest, GrowsByWhatTheGapAtTheEndLacks) {
  take(1, stream);
  void* last = take(4, stream);
  give(last, 4, stream);
  EXPECT_EQ(take(6, stream), last);
  EXPECT_EQ(reserved(), 7u);
}

TEST_F(ArenaPoolTest, LeavesAStreamItsMemoryUntilThereIsNoOther) {
  void* first = take(40, stream);
  give(first, 40, stream);
  stream.work();
  EXPECT_EQ(offset(take(20, other)), 40u) << "work on the other stream may still use the first 40";
  EXPECT_TRUE(other.waits.empty());
  EXPECT_EQ(offset(take(30, other)), 0u);
  EXPECT_EQ(other.waits, (std::vector<Queue::Wait>{{&stream, 1}}));
}

TEST_F(ArenaPoolTest, WaitsOnlyForTheWorkBeforeMemoryWasGivenBack) {
  void *a = take(30, stream), *b = take(30, stream);
  other.work();
  give(b, 30, other);
  other.work();  // what a message of another rank has to come for, perhaps
  EXPECT_EQ(offset(take(34, stream)), 30u);
  EXPECT_EQ(stream.waits, (std::vector<Queue::Wait>{{&other, 1}}));
  give(a, 30, stream);
  EXPECT_EQ(stream.records, 0) << "the stream with nearly all memory marks nothing";
}

TEST_F(ArenaPoolTest, JoinsTheMemoryOfAllStreamsWhenItIsShort) {
  void *a = take(30, stream), *b = take(30, stream);
  give(a, 30, stream);
  give(b, 30, other);
  EXPECT_EQ(offset(take(50, stream)), 0u);
  EXPECT_EQ(stream.waits.size(), 1u);
  EXPECT_EQ(offset(take(14, stream)), 50u);
  EXPECT_EQ(stream.waits.size(), 1u) << "what was left of both is its own";
}

TEST_F(ArenaPoolTest, JoinsWhatAStreamUsedWithWhatNobodyUses) {
  {
    Queue passing;
    void *a = take(32, stream), *b = take(32, stream);
    give(a, 32, stream);
    give(b, 32, passing);
    pool.forget(passing);
  }
  EXPECT_EQ(offset(take(64, stream)), 0u);
  EXPECT_TRUE(stream.waits.empty());
}

TEST_F(ArenaPoolTest, ForgetsAStreamThatGoes) {
  give(take(64, stream), 64, stream);
  pool.forget(stream);
  EXPECT_EQ(offset(take(64, other)), 0u);
  EXPECT_TRUE(other.waits.empty());
}

// Who takes what one stream gave back at two times has to wait for the later one.
TEST_F(ArenaPoolTest, KeepsWhatGapsAroundAForgottenStreamWaitFor) {
  Queue passing;
  take(1, stream);  // marks nothing, so it is not the one that gives back
  void *a = take(21, stream), *b = take(21, stream), *c = take(21, stream);
  give(c, 21, other);
  other.work();
  give(b, 21, passing);
  give(a, 21, other);
  pool.forget(passing);
  EXPECT_EQ(offset(take(63, stream)), 1u);
  const Queue::Wait later{&other, 1};
  EXPECT_NE(std::ranges::find(stream.waits, later), stream.waits.end());
}

TEST_F(ArenaPoolTest, TakesMemoryBackFromADeviceThatIsLost) {
  void* data = take(3, stream);
  other.is_lost = true;
  give(data, 3, other);
  EXPECT_EQ(pool.use().total.current, 0);
  EXPECT_THROW(take(64, stream), DeviceError) << "who needs it is told";
}

TEST_F(ArenaPoolTest, WaitsForNobodyWhereItWouldNotHelp) {
  void* a = take(20, stream);
  take(20, stream);
  void* b = take(20, stream);
  give(a, 20, other);
  give(b, 20, other);
  EXPECT_THROW(take(25, stream), DeviceError) << "they are no neighbors";
  EXPECT_TRUE(stream.waits.empty());
}

class ArenaPoolOfGigabytes : public ArenaPoolTest {
 protected:
  static constexpr std::size_t kSpare = (std::size_t{1} << 30) / kGrain;
  ArenaPoolOfGigabytes() : ArenaPoolTest(kSpare + 64) {}

  void* try_to_take(std::size_t grains, Stream& on) {
    return pool.try_allocate(grains * kGrain, on, Category::workspace);
  }
};

TEST_F(ArenaPoolOfGigabytes, LeaveOneOfThemToOthersIfOneCanDoWithout) {
  EXPECT_EQ(offset(try_to_take(60, stream)), 0u);
  EXPECT_EQ(try_to_take(5, stream), nullptr);
  void* needed = take(5, stream);
  EXPECT_EQ(offset(needed), 60u);
  give(needed, 5, other);
  EXPECT_EQ(try_to_take(5, stream), nullptr) << "nor is another stream waited for";
  EXPECT_TRUE(stream.waits.empty());
  EXPECT_EQ(pool.use().of(Category::workspace).current, 60 * static_cast<int>(kGrain));
}

TEST_F(ArenaPoolTest, SaysWhereTheMemoryIsWhenThereIsNoMore) {
  pool.allocate(60 * kGrain, stream, Category::optimizer);
  try {
    take(5, stream);
    FAIL() << "there are 64";
  } catch (const DeviceError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("2560 bytes asked for"), std::string::npos) << text;
    EXPECT_NE(text.find("optimizer 0 MiB"), std::string::npos) << text;
  }
  EXPECT_EQ(offset(take(4, stream)), 60u) << "and it goes on";
}

TEST_F(ArenaPoolTest, CountsWhatIsUsedAndWhatIsReserved) {
  void* data = pool.allocate(700, stream, Category::gradients);
  EXPECT_EQ(pool.use().of(Category::gradients).current, 700);
  EXPECT_EQ(pool.use().reserved, 1024);
  pool.release(data, 700, stream, Category::gradients);
  EXPECT_EQ(pool.use().total.current, 0);
  EXPECT_EQ(pool.use().total.peak, 700);
  pool.reset_peaks();
  EXPECT_EQ(pool.use().total.peak, 0);
  EXPECT_EQ(pool.use().reserved, 1024);
}

// Blocks that come and go as they do in a training step, over and over.
class ArenaPoolSteps : public ArenaPoolTest {
 protected:
  ArenaPoolSteps() : ArenaPoolTest(1 << 16) {}

  struct Block {
    void* data;
    std::size_t grains;
  };

  // The same for the same seed. Ends with as much as it began with.
  void step(unsigned seed) {
    std::mt19937 dice(seed);
    std::vector<Block> blocks;
    for (int i = 0; i < 400; ++i) {
      if (blocks.empty() || dice() % 100 < 55) {
        const std::size_t grains = dice() % 4 == 0 ? 1 + dice() % 200 : 1 + dice() % 10;
        blocks.push_back({take(grains, stream), grains});
        expect_apart(blocks);
      } else {
        const std::size_t one = dice() % blocks.size();
        give(blocks[one].data, blocks[one].grains, stream);
        blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(one));
      }
    }
    for (const Block& block : blocks) give(block.data, block.grains, stream);
  }

  void expect_apart(const std::vector<Block>& blocks) const {
    const Block& last = blocks.back();
    const std::size_t begin = offset(last.data), end = begin + last.grains;
    for (std::size_t i = 0; i + 1 < blocks.size(); ++i) {
      const std::size_t first = offset(blocks[i].data);
      ASSERT_TRUE(end <= first || first + blocks[i].grains <= begin);
    }
  }
};

TEST_F(ArenaPoolSteps, NeverGiveOutWhatIsInUse) {
  for (unsigned seed = 0; seed < 50; ++seed) step(seed);
}

TEST_F(ArenaPoolSteps, ThatRepeatNeedNoMoreMemory) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    step(seed);
    const std::size_t after_one = reserved();
    for (int i = 0; i < 3; ++i) step(seed);
    EXPECT_EQ(reserved(), after_one) << seed;
  }
}

}  // namespace
}  // namespace trireme::kernels
