#include "kernels/arena_pool.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "kernels/check.h"
#include "kernels/cpu/host_stream.h"

namespace trireme::kernels {
namespace {

constexpr std::size_t kGrain = 512;

// Memory that nobody writes to: addresses are what is tested.
class Region final : public MemoryRegion {
 public:
  explicit Region(std::size_t capacity) : memory_(capacity) {}

  std::byte* begin() const override { return const_cast<std::byte*>(memory_.data()); }
  std::size_t usable() const override { return usable_; }
  bool grow_to(std::size_t bytes) override {
    if (bytes > memory_.size()) return false;
    usable_ = std::max(usable_, bytes);
    return true;
  }
  void finish_all_work() override { ++waits; }

  int waits = 0;

 private:
  std::vector<std::byte> memory_;
  std::size_t usable_ = 0;
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
  int waits() const { return region_->waits; }

  HostStream stream{1}, other{1};

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
  EXPECT_EQ(offset(take(20, other)), 40u) << "work on the other stream may still use the first 40";
  EXPECT_EQ(waits(), 0);
  EXPECT_EQ(offset(take(30, other)), 0u);
  EXPECT_EQ(waits(), 1);
}

TEST_F(ArenaPoolTest, JoinsTheMemoryOfAllStreamsWhenItIsShort) {
  void *a = take(30, stream), *b = take(30, stream);
  give(a, 30, stream);
  give(b, 30, other);
  EXPECT_EQ(offset(take(50, stream)), 0u);
  EXPECT_EQ(waits(), 1);
}

TEST_F(ArenaPoolTest, JoinsWhatAStreamUsedWithWhatNobodyUses) {
  void *a = take(32, stream), *b = take(32, other);
  give(a, 32, stream);
  give(b, 32, other);
  void* whole = take(64, stream);
  give(whole, 64, other);
  void* part = take(48, stream);
  EXPECT_EQ(waits(), 2);
  give(part, 48, stream);
  EXPECT_EQ(offset(take(64, stream)), 0u) << "48 that it used, and 16 that are anyone's";
  EXPECT_EQ(waits(), 2);
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
  EXPECT_EQ(waits(), 0) << "nobody has a gap to wait for";
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
