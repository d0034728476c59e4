#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace trireme::launch {

// What ranks write to each other when one of them has failed.
struct Letter {
  enum class Kind {
    failed,  // to the rank that speaks for all: why
    heard,   // from it
    call,    // from it: are you there?
    here,    // the answer: what the rank is doing
  };
  Kind kind = Kind::failed;
  int rank = 0;  // whose letter it is
  int code = 0;  // exit code of what failed
  std::string text = {};
};

class Mailbox {
 public:
  Mailbox() = default;
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;
  virtual ~Mailbox() = default;

  // Returns at once, whether anybody reads it or not. From any thread.
  virtual void post(int to, const Letter& letter) = 0;
  // Nothing if none has come.
  virtual std::optional<Letter> take() = 0;
};

// How a job that fails ends: once, by one rank that says why, and whose fault it was. When a rank
// stops, what fails is the others, in a peer's name at best. So whoever fails leaves the word to
// rank 0, which asks all ranks whether they are there, and names those that do not answer. If
// rank 0 is one of them, the next one speaks.
class LastWords {
 public:
  struct Options {
    std::vector<std::string> hosts;  // of every rank
    // Says the text, an explanation without "error:", and ends every rank.
    std::function<void(int code, const std::string& text)> end;
    int peers_code = 0;  // of failures that are others' fault
    std::chrono::milliseconds look = std::chrono::milliseconds(100);  // between two for letters
    std::chrono::milliseconds patience = std::chrono::seconds(2);     // with those who are asked
    // For whoever has heard of a failure to end the job.
    std::chrono::milliseconds until_ended = std::chrono::seconds(30);
  };

  LastWords(std::unique_ptr<Mailbox> mailbox, int rank, Options options);
  LastWords(const LastWords&) = delete;
  LastWords& operator=(const LastWords&) = delete;
  ~LastWords();

  // What this rank is doing, for others who ask: "training step 7".
  void set_phase(const std::string& phase);

  // Returns only if nobody has ended this process.
  void fail(int code, const std::string& text);

 private:
  using Clock = std::chrono::steady_clock;

  void work();
  void read(const Letter& letter);
  void speak_when_due();
  std::string explanation() const;
  std::string cause_of(const Letter& failure) const;
  std::string named(const std::vector<int>& ranks) const;
  void post(int to, Letter::Kind kind, int code, const std::string& text);

  std::unique_ptr<Mailbox> mailbox_;
  const int rank_;
  const Options options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ending_ = false, has_spoken_ = false;
  std::string phase_ = "starting";
  std::set<int> hears_;                    // who has heard of this rank's failure
  std::vector<Letter> failures_;           // that this rank speaks for, in the order they came
  std::map<int, std::string> there_;       // who has answered the call, and what they do
  std::optional<Clock::time_point> call_;  // when everybody was asked
  std::thread worker_;                     // last: it uses the above
};

}  // namespace trireme::launch
