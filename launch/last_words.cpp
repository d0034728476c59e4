#include "launch/last_words.h"

#include <algorithm>
#include <utility>

namespace trireme::launch {
namespace {

constexpr int kSpeakers = 4;           // so many are tried in turn
constexpr std::size_t kMostNamed = 8;  // of more, the number

}  // namespace

LastWords::LastWords(std::unique_ptr<Mailbox> mailbox, int rank, Options options)
    : mailbox_(std::move(mailbox)),
      rank_(rank),
      options_(std::move(options)),
      worker_([this] { work(); }) {}

LastWords::~LastWords() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  worker_.join();
}

void LastWords::set_phase(const std::string& phase) {
  const std::lock_guard lock(mutex_);
  phase_ = phase;
}

void LastWords::fail(int code, const std::string& text) {
  std::unique_lock lock(mutex_);
  for (int speaker = 0; speaker < std::min(rank_, kSpeakers); ++speaker) {
    post(speaker, Letter::Kind::failed, code, text);
    const auto is_heard = [&] { return hears_.contains(speaker); };
    if (!changed_.wait_for(lock, options_.patience, is_heard)) continue;
    changed_.wait_for(lock, options_.until_ended, [this] { return has_spoken_ || ending_; });
    break;
  }
  failures_.push_back({.rank = rank_, .code = code, .text = text});
  changed_.notify_all();
  changed_.wait_for(lock, options_.until_ended, [this] { return has_spoken_ || ending_; });
}

void LastWords::work() {
  std::unique_lock lock(mutex_);
  while (!ending_) {
    while (const auto letter = mailbox_->take()) read(*letter);
    speak_when_due();
    changed_.wait_for(lock, options_.look);
  }
}

void LastWords::read(const Letter& letter) {
  switch (letter.kind) {
    case Letter::Kind::failed:
      post(letter.rank, Letter::Kind::heard, 0, "");
      failures_.push_back(letter);
      break;
    case Letter::Kind::heard:
      hears_.insert(letter.rank);
      changed_.notify_all();
      break;
    case Letter::Kind::call: post(letter.rank, Letter::Kind::here, 0, phase_); break;
    case Letter::Kind::here: there_[letter.rank] = letter.text; break;
  }
}

// What a rank did itself explains the rest; of what others did to it, somebody may know more.
void LastWords::speak_when_due() {
  if (failures_.empty() || has_spoken_) return;
  const bool is_clear = std::ranges::any_of(
      failures_, [this](const Letter& failure) { return failure.code != options_.peers_code; });
  const int ranks = static_cast<int>(options_.hosts.size());
  if (!is_clear && !call_) {
    call_ = Clock::now();
    for (int rank = 0; rank < ranks; ++rank) {
      if (rank != rank_) post(rank, Letter::Kind::call, 0, "");
    }
  }
  if (!is_clear && Clock::now() - *call_ < options_.patience) return;
  has_spoken_ = true;
  const auto cause = std::ranges::find_if(
      failures_, [&](const Letter& failure) { return failure.code != options_.peers_code; });
  options_.end(cause == failures_.end() ? options_.peers_code : cause->code, explanation());
  changed_.notify_all();
}

std::string LastWords::explanation() const {
  const auto own = std::ranges::find_if(
      failures_, [this](const Letter& failure) { return failure.code != options_.peers_code; });
  if (own != failures_.end()) return cause_of(*own);
  std::set<int> failed;
  for (const Letter& failure : failures_) failed.insert(failure.rank);
  std::vector<int> silent, others;
  for (int rank = 0; rank < static_cast<int>(options_.hosts.size()); ++rank) {
    if (rank == rank_ || failed.contains(rank)) continue;
    (there_.contains(rank) ? others : silent).push_back(rank);
  }
  std::string text;
  if (!silent.empty()) {
    text = named(silent) + (silent.size() == 1 ? " does" : " do") + " not answer; ";
  } else if (others.size() == 1) {
    text = named(others) + " is still " + there_.at(others.front()) + "; ";
  } else if (!others.empty()) {
    text = "all ranks answer, and " + named(others) + " have not given up; ";
  }
  text += cause_of(failures_.front());
  if (failed.size() > 1) {
    text += " (so did " + std::to_string(failed.size() - 1) +
            (failed.size() == 2 ? " other rank)" : " other ranks)");
  }
  return text;
}

std::string LastWords::cause_of(const Letter& failure) const {
  return named({failure.rank}) + " " + failure.text;
}

// "rank 3 (node7)", "ranks 3 (node7), 4 (node7) and 12 more"
std::string LastWords::named(const std::vector<int>& ranks) const {
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (std::size_t i = 0; i < std::min(ranks.size(), kMostNamed); ++i) {
    if (i > 0) text += ", ";
    text +=
        std::to_string(ranks[i]) + " (" + options_.hosts[static_cast<std::size_t>(ranks[i])] + ")";
  }
  if (ranks.size() > kMostNamed) {
    text += " and " + std::to_string(ranks.size() - kMostNamed) + " more";
  }
  return text;
}

void LastWords::post(int to, Letter::Kind kind, int code, const std::string& text) {
  mailbox_->post(to, {.kind = kind, .rank = rank_, .code = code, .text = text});
}

}  // namespace trireme::launch
