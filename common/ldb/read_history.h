// What was written when, to tell whether a read can be right.

#ifndef CTLSTORE_COMMON_LDB_READ_HISTORY_H_
#define CTLSTORE_COMMON_LDB_READ_HISTORY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"

namespace ctlstore::ldb {

// All states that a set of subjects (rows, tables) have ever had, by position: that of the writer's
// transactions, in their order. Each transaction is recorded before it is written, so that nothing
// can be read that is not in here. Thread-safe.
class ReadHistory {
 public:
  // A subject in a state. 0 is the state of all subjects at the beginning.
  struct Fact {
    int64_t subject = 0;
    int64_t state = 0;
  };

  // One transaction: from `position` on these are so. Positions only go up.
  void Record(int64_t position, absl::Span<const Fact> facts);

  // The first position from `floor` on at which all of these are so; nullopt where there is none.
  // What one look at one state of the database has shown is right exactly where there is one, when
  // everything up to `floor` was there before the look began.
  absl::optional<int64_t> Explain(absl::Span<const Fact> facts, int64_t floor) const;

  // Whether a transaction ended there, or nothing was written yet.
  bool IsPosition(int64_t position) const;

  // The last one that was recorded; 0 for none.
  int64_t last() const;

  // For messages: the last of a subject's states up to `floor`, and all after it.
  std::string Describe(int64_t subject, int64_t floor) const;

 private:
  struct Since {
    int64_t position;
    int64_t state;
  };
  // The first position from `floor` on at which this is so.
  absl::optional<int64_t> First(const Fact& fact, int64_t floor) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  absl::flat_hash_map<int64_t, std::vector<Since>> subjects_ ABSL_GUARDED_BY(mutex_);
  std::vector<int64_t> positions_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_READ_HISTORY_H_
