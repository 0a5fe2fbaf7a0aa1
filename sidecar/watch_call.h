// One Watch call: what changes, sent as it comes.

#ifndef CTLSTORE_SIDECAR_WATCH_CALL_H_
#define CTLSTORE_SIDECAR_WATCH_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <cstdint>
#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/worker_pool.h"
#include "ctlstore/v1/sidecar.pb.h"
#include "sidecar/change_source.h"
#include "sidecar/watch_cursor.h"

namespace ctlstore::sidecar {

// What all watches share.
struct WatchParts {
  ChangeSource* source = nullptr;
  // Reads changes: neither gRPC's threads nor the one that waits for them do.
  WorkerPool* readers = nullptr;
  // A message is sent at least that often.
  absl::Duration progress_interval;
  // What has been sent to all of them together.
  std::atomic<int64_t> changes_sent{0};
  std::atomic<int64_t> resets_sent{0};
};

// Does one thing at a time: reads and makes a message, sends it, or waits for there to be something
// to read. So a slow client costs one message, and is told that everything may have changed when it
// has come to be further behind than the local database remembers.
//
// Owns itself: made by new, deletes itself after the call's end. From then on, which on_end tells,
// it uses nothing of what it was given, except that a reader of the pool may still be at work.
class WatchCall : public grpc::ServerWriteReactor<v1::WatchResponse> {
 public:
  // Told once, at the call's end, what it came to.
  using OnEnd = std::function<void(WatchCall*, absl::StatusCode)>;

  // `context` is the call's.
  WatchCall(grpc::CallbackServerContext* context, WatchParts* parts, OnEnd on_end);

  // Begins, unless the call has ended already. At most once.
  void Start(WatchCursor cursor) ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends the call, at once: a message that is under way is given up. It need not have begun.
  void End(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  enum class State { kReading, kSending, kWaiting, kFinished };

  ~WatchCall() override = default;

  // In a thread of the pool.
  void Read() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<WatchCursor::Step> MakeMessage();
  // In the thread of the one who waits.
  void WaitEnded() ABSL_LOCKS_EXCLUDED(mutex_);

  // The ways to go on. The call may end in any of them.
  void GoOnAfter(const absl::StatusOr<WatchCursor::Step>& step)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SubmitRead() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Send() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void BeginToWait() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FinishWith(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // One of those who use this object, gRPC's call and a read or a wait, has finished with it.
  void Release() ABSL_LOCKS_EXCLUDED(mutex_);

  grpc::CallbackServerContext* const context_;
  WatchParts* const parts_;
  const OnEnd on_end_;

  // Used by a read under way, of which there is one at most, and by gRPC while it sends.
  absl::optional<WatchCursor> cursor_;
  v1::WatchResponse message_;

  // Held also while gRPC is asked for something, which it does in threads of its own.
  absl::Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_) = State::kReading;
  uint64_t wait_ ABSL_GUARDED_BY(mutex_) = 0;
  // When a message is due, whether there is a change or not. At once to begin with.
  absl::Time message_due_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  // What the call is to end with, when the message under way is out of the way.
  absl::Status end_ ABSL_GUARDED_BY(mutex_);
  absl::StatusCode end_code_ ABSL_GUARDED_BY(mutex_) = absl::StatusCode::kOk;
  int users_ ABSL_GUARDED_BY(mutex_) = 1;
};

}  // namespace ctlstore::sidecar

#endif  // CTLSTORE_SIDECAR_WATCH_CALL_H_
