// One ListRows call: rows of one state of the local database, sent in pages.

#ifndef CTLSTORE_SIDECAR_LIST_ROWS_CALL_H_
#define CTLSTORE_SIDECAR_LIST_ROWS_CALL_H_

#include <grpcpp/alarm.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/ldb/reader.h"
#include "common/schema/value.h"
#include "ctlstore/v1/sidecar.pb.h"
#include "sidecar/sequence_wait.h"
#include "sidecar/service_context.h"

namespace ctlstore::sidecar {

// Reads a page, sends it, and reads the next one when gRPC has taken it, so that a slow client
// costs one page of memory. The rows hold one state of the database, and so keep the reflector from
// resetting the WAL; therefore they are let go as soon as the last one is read, the client has
// gone, or the time is up.
//
// Owns itself: made by new, deletes itself after the call's end.
class ListRowsCall : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  // `request` is a v1::ListRowsRequest. The service must outlive the call.
  ListRowsCall(ServiceContext* service, grpc::CallbackServerContext* context,
               const grpc::ByteBuffer& request);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  ~ListRowsCall() override = default;

  absl::Status Check(const grpc::CallbackServerContext& context, const grpc::ByteBuffer& request);
  // Begins to read when there is nothing to wait for (any more).
  void Begin();
  absl::Status Open() ABSL_LOCKS_EXCLUDED(mutex_);
  // Makes page_. True where it is the last one. Lets the rows go when none will be read any more.
  absl::StatusOr<bool> NextPage() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<bool> ReadRows(std::string* page) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Goes to the next row.
  absl::Status Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LetGo() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Ends the call.
  void FinishWith(const absl::Status& status);
  // Sends page_, or ends the call. This object may be gone afterwards.
  void Send(const absl::StatusOr<bool>& last);
  absl::Status TimeIsUp() const;
  void OnAlarm(bool expired);
  // One of the two who use this object, gRPC's call and the alarm, has finished with it.
  void Release();

  ServiceContext* const service_;
  const absl::Time begin_;
  v1::ListRowsRequest request_;
  SequenceWait wait_;
  // At most so many rows are sent. One more is read, which tells whether the list is truncated.
  int64_t limit_ = 0;
  absl::Time deadline_ = absl::InfinitePast();
  absl::StatusCode end_ = absl::StatusCode::kOk;
  // Used by one reaction at a time, and by gRPC between two.
  grpc::ByteBuffer page_;
  grpc::Alarm alarm_;

  absl::Mutex mutex_;
  // Not set any more when no row will be read. The rows are the snapshot's.
  absl::optional<ldb::Snapshot> snapshot_ ABSL_GUARDED_BY(mutex_);
  absl::optional<ldb::RowIterator> rows_ ABSL_GUARDED_BY(mutex_);
  int64_t sequence_ ABSL_GUARDED_BY(mutex_) = 0;
  bool begun_ ABSL_GUARDED_BY(mutex_) = false;
  // Whether the iterator stands on a row that is not sent yet.
  bool has_row_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t sent_ ABSL_GUARDED_BY(mutex_) = 0;
  // The key of the last row that the limit lets through.
  std::vector<Value> last_key_ ABSL_GUARDED_BY(mutex_);
  int users_ ABSL_GUARDED_BY(mutex_) = 1;
};

}  // namespace ctlstore::sidecar

#endif  // CTLSTORE_SIDECAR_LIST_ROWS_CALL_H_
