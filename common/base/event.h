// A thread waits, others wake it.

#ifndef CTLSTORE_COMMON_BASE_EVENT_H_
#define CTLSTORE_COMMON_BASE_EVENT_H_

#include <condition_variable>
#include <mutex>

#include "absl/time/time.h"

namespace ctlstore {

// Wakes the one thread that waits for it, at once or when it comes to wait. Says nothing of what
// has happened: who is woken looks. Its waits last as long as they should when the machine's clock
// is set, unlike those of absl::Mutex and absl::Notification. Thread-safe, but one thread waits.
class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void Notify();

  // Returns true where it was notified since the last such return, otherwise waits for that. False
  // when it has not come after `duration`, which may be infinite.
  bool Wait(absl::Duration duration);

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  bool notified_ = false;
};

}  // namespace ctlstore

#endif  // CTLSTORE_COMMON_BASE_EVENT_H_
