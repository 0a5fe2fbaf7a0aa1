// Writes the time into the control data, so that every host knows how old its copy is.

#ifndef CTLSTORE_HEARTBEAT_HEARTBEAT_H_
#define CTLSTORE_HEARTBEAT_HEARTBEAT_H_

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/base/clock.h"
#include "common/schema/table_schema.h"
#include "common/schema/value.h"

namespace ctlstore::heartbeat {

// At every interval replaces one row: family `ctlstore`, table `heartbeats`, name `heartbeat`,
// value the Unix time in nanoseconds. A host's lag is at most the age of the row that it has.
//
// Makes its writer, family and table itself, whenever an answer says that they are missing; where
// they are there, it needs no more than the writer's secret. Whatever fails is logged once when it
// begins and once when it ends, and tried again with a growing, jittered pause.
class Heartbeat {
 public:
  // What it needs of an executive; ExecutiveClient does this. What is there already is no error.
  class Executive {
   public:
    virtual ~Executive() = default;
    // Makes the heartbeat's writer known.
    virtual absl::Status RegisterWriter() = 0;
    virtual absl::Status CreateFamily(absl::string_view family) = 0;
    virtual absl::Status CreateTable(const TableSchema& schema) = 0;
    // Writes one row, with a value for each field in table order, and returns its ledger sequence.
    virtual absl::StatusOr<int64_t> Mutate(const TableSchema& schema,
                                           absl::Span<const ValueView> row) = 0;
  };

  struct Options {
    absl::Duration interval = absl::Seconds(15);
    // The pauses after something failed.
    absl::Duration min_retry_pause = absl::Milliseconds(100);
    absl::Duration max_retry_pause = absl::Seconds(15);
  };

  // What an operator wants to know.
  struct State {
    // The last time that was written, and the ledger sequence that it got.
    absl::optional<absl::Time> last_written;
    int64_t last_sequence = 0;
    // OK, or what is being tried again.
    absl::Status last_error;
    // Tries that failed since the last success.
    int64_t failures = 0;
  };

  // The executive and the clock must outlive the heartbeat.
  Heartbeat(Executive* executive, Clock* clock, const Options& options);

  // Works until `stop` is notified. Call once, from a thread of its own.
  void Run(absl::Notification* stop);

  // Thread-safe.
  State state() const;

 private:
  absl::Status Beat(absl::Time now);
  // Makes the writer, the family and the table.
  absl::Status Prepare();
  void Record(const absl::Status& status);

  Executive* const executive_;
  Clock* const clock_;
  const Options options_;
  const TableSchema schema_;
  mutable absl::Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ctlstore::heartbeat

#endif  // CTLSTORE_HEARTBEAT_HEARTBEAT_H_
