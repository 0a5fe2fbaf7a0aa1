// How far a watch has told what changes, and what it tells next.

#ifndef CTLSTORE_SIDECAR_WATCH_CURSOR_H_
#define CTLSTORE_SIDECAR_WATCH_CURSOR_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "common/ldb/changes.h"
#include "ctlstore/v1/sidecar.pb.h"
#include "sidecar/change_source.h"
#include "sidecar/watch_filter.h"

namespace ctlstore::sidecar {

// Makes one watch's messages, one after the other, from newer and newer states of the local
// database. A message has the changes of whole ledger entries, so a watch can go on behind each.
// Not thread-safe.
class WatchCursor {
 public:
  enum class Step {
    // The message has changes, or tells that everything may have changed.
    kMessage,
    // There was nothing to tell in what was read, and there is more to read.
    kMore,
    // There is nothing more in this state.
    kCaughtUp,
  };

  // Begins behind `after`, or behind the first state's sequence where it is not set.
  WatchCursor(absl::optional<int64_t> after, WatchFilter filter, bool with_rows);

  // Reads a bounded number of changes, so that watches can take turns, and puts into `*message`,
  // which must be empty, what is to be told of them. Errors are the view's; the watch ends then.
  absl::StatusOr<Step> Advance(ChangeView* view, v1::WatchResponse* message);

  // All changes up to this sequence have been told; what is a message's sequence. Not before the
  // first Advance() where `after` was not set.
  int64_t position() const { return *position_; }

  // Whether that was all of the last state.
  bool caught_up() const { return *position_ >= state_; }

 private:
  Step Reset(v1::WatchResponse* message);
  absl::Status AddChange(const ldb::ChangeEvent& change, ChangeView* view,
                         v1::WatchResponse* message);

  WatchFilter filter_;
  bool with_rows_;
  absl::optional<int64_t> position_;
  // The last state's local database, and its sequence. That may be before the position: another
  // host's copy may have been ahead.
  absl::optional<std::string> identity_;
  int64_t state_ = 0;
  // The message's size.
  size_t bytes_ = 0;
};

}  // namespace ctlstore::sidecar

#endif  // CTLSTORE_SIDECAR_WATCH_CURSOR_H_
