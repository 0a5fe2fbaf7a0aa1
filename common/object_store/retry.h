// Trying again what failed in passing.

#ifndef CTLSTORE_COMMON_OBJECT_STORE_RETRY_H_
#define CTLSTORE_COMMON_OBJECT_STORE_RETRY_H_

#include "absl/synchronization/notification.h"
#include "common/base/backoff.h"
#include "common/object_store/store_options.h"

namespace ctlstore::object_store {

// Counts the attempts of one call and makes the pauses between them. Not thread-safe.
//
//   Retry retry(options, &stop);
//   do {
//     ... make the request, and return where it succeeds or where trying again is of no use ...
//   } while (retry.Again());
class Retry {
 public:
  // Of `options` the attempts, the pauses and the clock are used. `stop` ends the pauses. Both
  // must outlive this.
  Retry(const StoreOptions& options, absl::Notification* stop)
      : options_(options),
        stop_(stop),
        backoff_(options.min_retry_pause, options.max_retry_pause) {}

  // Waits, and returns whether to make another attempt: false where there were enough, or where
  // `stop` is notified.
  bool Again();

  // An attempt has got on: attempts and pauses count from the beginning, with the one that is
  // being made as the first.
  void Progress();

 private:
  const StoreOptions& options_;
  absl::Notification* const stop_;
  Backoff backoff_;
  int attempts_ = 1;
};

}  // namespace ctlstore::object_store

#endif  // CTLSTORE_COMMON_OBJECT_STORE_RETRY_H_
