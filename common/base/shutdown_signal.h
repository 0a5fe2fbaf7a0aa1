// The orderly end of a service: SIGTERM and SIGINT.

#ifndef CTLSTORE_COMMON_BASE_SHUTDOWN_SIGNAL_H_
#define CTLSTORE_COMMON_BASE_SHUTDOWN_SIGNAL_H_

#include "absl/synchronization/notification.h"

namespace ctlstore {

// Takes SIGTERM and SIGINT for the whole process; a second one ends the process at once, with
// status 130. Make one at the start of main(), before any thread is started, and keep it to the end
// of the process.
class ShutdownSignal {
 public:
  ShutdownSignal();
  ShutdownSignal(const ShutdownSignal&) = delete;
  ShutdownSignal& operator=(const ShutdownSignal&) = delete;

  // Notified by the first signal. Thread-safe.
  absl::Notification* notification() { return &notification_; }

  // Blocks until the first signal.
  void Wait() { notification_.WaitForNotification(); }

 private:
  absl::Notification notification_;
};

}  // namespace ctlstore

#endif  // CTLSTORE_COMMON_BASE_SHUTDOWN_SIGNAL_H_
