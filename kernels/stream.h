#pragma once

#include <exception>
#include <functional>
#include <memory>

namespace trireme::kernels {

// A point in a stream's work. It is reached when everything enqueued before it is done.
class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  virtual ~Event() = default;

  virtual bool reached() const = 0;

  // Blocks the calling thread until the event is reached. Does not report failures of the work
  // before it: Stream::synchronize does.
  virtual void wait() const = 0;
};

// When a stream came to a point of its work, by the clock of its device.
class Instant {
 public:
  Instant() = default;
  Instant(const Instant&) = delete;
  Instant& operator=(const Instant&) = delete;
  virtual ~Instant() = default;

  // Both are of streams of one device, which have come to them.
  virtual double seconds_since(const Instant& earlier) const = 0;
};

// Stops a stream until the host lets it go on.
class Hold {
 public:
  Hold() = default;
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;
  virtual ~Hold() = default;

  // Once, from any thread. A failure is what the stream's next synchronize throws.
  virtual void end(std::exception_ptr failure) = 0;
};

// A queue of work on one device. Work on one stream runs in the order it was enqueued; two
// streams are unordered unless one waits for the other.
//
// There is no current or default stream: whatever enqueues work takes one.
class Stream {
 public:
  Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  virtual ~Stream() = default;

  // Marks the end of what has been enqueued so far. Shared, because every stream that waits for
  // the event keeps it alive until it has passed it.
  virtual std::shared_ptr<const Event> record() = 0;

  // The time at which everything enqueued so far is done.
  virtual std::shared_ptr<const Instant> instant() = 0;

  // Work enqueued here from now on starts after `event`. Does not block the calling thread.
  virtual void wait_for(std::shared_ptr<const Event> event) = 0;

  // Work enqueued here from now on starts after everything already enqueued on `other`.
  void wait_for(Stream& other) { wait_for(other.record()); }

  // Blocks until the queue is empty, then rethrows the first failed work.
  virtual void synchronize() = 0;

  // How to say, from any thread and even when the stream is gone, that what is on the queue has
  // failed: whoever synchronizes next is told.
  using Fail = std::function<void(std::exception_ptr failure)>;
  virtual Fail failing() = 0;
};

}  // namespace trireme::kernels
