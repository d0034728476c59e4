#include "launch/last_words.h"

#include <gtest/gtest.h>

#include <deque>
#include <future>

namespace trireme::launch {
namespace {

using namespace std::chrono_literals;

constexpr int kPeers = 69, kDisk = 74;

// Of one rank among threads; of a rank that is dead, nobody ever empties it.
class Box final : public Mailbox {
 public:
  struct Shared {
    std::mutex mutex;
    std::vector<std::deque<Letter>> letters;
  };
  Box(std::shared_ptr<Shared> shared, int rank) : shared_(std::move(shared)), rank_(rank) {}

  void post(int to, const Letter& letter) override {
    const std::lock_guard lock(shared_->mutex);
    shared_->letters[static_cast<std::size_t>(to)].push_back(letter);
  }
  std::optional<Letter> take() override {
    const std::lock_guard lock(shared_->mutex);
    auto& mine = shared_->letters[static_cast<std::size_t>(rank_)];
    if (mine.empty()) return std::nullopt;
    const Letter letter = mine.front();
    mine.pop_front();
    return letter;
  }

 private:
  std::shared_ptr<Shared> shared_;
  int rank_;
};

class LastWordsTest : public testing::Test {
 protected:
  LastWordsTest() {
    shared_->letters.resize(4);
    for (int rank = 0; rank < 4; ++rank) ranks_[rank] = make(rank);
  }
  ~LastWordsTest() override {
    for (auto& failing : failing_) failing.get();
  }

  std::unique_ptr<LastWords> make(int rank) {
    LastWords::Options options{
        .hosts = {"a", "a", "b", "b"},
        .end =
            [this, rank](int code, const std::string& text) {
              std::call_once(first_, [&] { said_.set_value({rank, code, text}); });
            },
        .peers_code = kPeers,
        .look = 1ms,
        .patience = 200ms,
        .until_ended = 1s};
    return std::make_unique<LastWords>(std::make_unique<Box>(shared_, rank), rank, options);
  }

  void fail(int rank, int code, const std::string& text) {
    LastWords& words = *ranks_.at(rank);
    failing_.push_back(
        std::async(std::launch::async, [&words, code, text] { words.fail(code, text); }));
  }

  struct Said {
    int rank, code;
    std::string text;
  };
  Said said() {
    auto future = said_.get_future();
    EXPECT_EQ(future.wait_for(10s), std::future_status::ready);
    return future.get();
  }

  std::shared_ptr<Box::Shared> shared_ = std::make_shared<Box::Shared>();
  std::promise<Said> said_;
  std::once_flag first_;  // that ends the job, where this is no test
  std::map<int, std::unique_ptr<LastWords>> ranks_;
  std::vector<std::future<void>> failing_;
};

TEST_F(LastWordsTest, NameWhoDoesNotAnswer) {
  ranks_.erase(2);
  fail(3, kPeers, "while training step 7: waited");
  fail(1, kPeers, "while training step 7: waited");
  const Said words = said();
  EXPECT_EQ(words.rank, 0);
  EXPECT_EQ(words.code, kPeers);
  EXPECT_TRUE(words.text.starts_with("rank 2 (b) does not answer; rank ")) << words.text;
  EXPECT_TRUE(words.text.ends_with(" while training step 7: waited (so did 1 other rank)"))
      << words.text;
}

TEST_F(LastWordsTest, AreOfTheNextRankIfTheFirstIsLost) {
  ranks_.erase(0);
  fail(2, kPeers, "waited");
  const Said words = said();
  EXPECT_EQ(words.rank, 1);
  EXPECT_EQ(words.text, "rank 0 (a) does not answer; rank 2 (b) waited");
}

TEST_F(LastWordsTest, AreOfTheFailingRankIfAllBeforeItAreLost) {
  ranks_.erase(0);
  ranks_.erase(1);
  fail(2, kPeers, "waited");
  const Said words = said();
  EXPECT_EQ(words.rank, 2);
  EXPECT_EQ(words.text, "ranks 0 (a), 1 (a) do not answer; rank 2 (b) waited");
}

TEST_F(LastWordsTest, NameTheOnlyOneThatHasNotGivenUp) {
  ranks_.at(3)->set_phase("reading samples");
  for (const int rank : {0, 1, 2}) fail(rank, kPeers, "waited");
  EXPECT_TRUE(said().text.starts_with("rank 3 (b) is still reading samples; "));
}

TEST_F(LastWordsTest, WaitForNobodyWhenTheCauseIsKnown) {
  const auto begin = std::chrono::steady_clock::now();
  fail(3, kDisk, "while saving: no space left");
  const Said words = said();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 150ms);
  EXPECT_EQ(words.rank, 0);
  EXPECT_EQ(words.code, kDisk);
  EXPECT_EQ(words.text, "rank 3 (b) while saving: no space left");
}

// The one whose disk is full is why the others waited.
TEST_F(LastWordsTest, TellTheCauseRatherThanWhatFollowedFromIt) {
  fail(1, kPeers, "waited");
  std::this_thread::sleep_for(20ms);
  fail(2, kDisk, "no space left");
  const Said words = said();
  EXPECT_EQ(words.code, kDisk);
  EXPECT_EQ(words.text, "rank 2 (b) no space left");
}

}  // namespace
}  // namespace trireme::launch
