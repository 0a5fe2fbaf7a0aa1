// One ListRows call: rows of one state of the local database, sent in pages.

#ifndef CTLSTORE_SIDECAR_LIST_ROWS_CALL_H_
#define CTLSTORE_SIDECAR_LIST_ROWS_CALL_H_

#include <grpcpp/alarm.h>
#include <grpcpp/support/server_callback.h>

#include <cstdint>
#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/ldb/reader.h"
#include "ctlstore/v1/sidecar.pb.h"

namespace ctlstore::sidecar {

// Reads a page, sends it, and reads the next one when gRPC has taken it, so that a slow client
// costs one page of memory. The rows hold one state of the database, and so keep the reflector from
// resetting the WAL; therefore they are let go as soon as the last one is read, the client has
// gone, or the time is up.
//
// Owns itself: made by new, deletes itself after the call's end.
class ListRowsCall : public grpc::ServerWriteReactor<v1::ListRowsResponse> {
 public:
  // Told once, at the call's end, what it came to.
  using OnEnd = std::function<void(absl::StatusCode)>;

  // Sends at most `limit` rows; `rows` has one more where there is one, which tells whether the
  // list is truncated. Takes at most `max_duration`.
  ListRowsCall(ldb::RowIterator rows, int64_t limit, absl::Duration max_duration, OnEnd on_end);

  // A call that only fails.
  ListRowsCall(const absl::Status& error, OnEnd on_end);

  void OnWriteDone(bool ok) override;
  void OnDone() override;

 private:
  ~ListRowsCall() override = default;

  // Fills page_. True where it is the last one. Lets the rows go when none will be read any more.
  absl::StatusOr<bool> NextPage() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<bool> ReadRows() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Goes to the next row.
  absl::Status Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Ends the call.
  void FinishWith(const absl::Status& status);
  // Sends page_, or ends the call. This object may be gone afterwards.
  void Send(const absl::StatusOr<bool>& last);
  absl::Status TimeIsUp() const;
  void OnAlarm(bool expired);
  // One of the two who use this object, gRPC's call and the alarm, has finished with it.
  void Release();

  const int64_t limit_;
  const absl::Duration max_duration_;
  const absl::Time deadline_;
  const OnEnd on_end_;
  absl::StatusCode end_ = absl::StatusCode::kOk;
  // Used by one reaction at a time, and by gRPC between two.
  v1::ListRowsResponse page_;
  grpc::Alarm alarm_;

  absl::Mutex mutex_;
  // Not set any more when no row of it will be read.
  absl::optional<ldb::RowIterator> rows_ ABSL_GUARDED_BY(mutex_);
  bool begun_ ABSL_GUARDED_BY(mutex_) = false;
  // Whether the iterator stands on a row that is not sent yet.
  bool has_row_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t sent_ ABSL_GUARDED_BY(mutex_) = 0;
  int users_ ABSL_GUARDED_BY(mutex_) = 1;
};

}  // namespace ctlstore::sidecar

#endif  // CTLSTORE_SIDECAR_LIST_ROWS_CALL_H_
