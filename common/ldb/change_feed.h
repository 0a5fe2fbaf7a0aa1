// The changes of one local database, for those in the same process who want to follow them.

#ifndef CTLSTORE_COMMON_LDB_CHANGE_FEED_H_
#define CTLSTORE_COMMON_LDB_CHANGE_FEED_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/ldb/changes.h"
#include "common/schema/value.h"

namespace ctlstore::ldb {

// Keeps the last changes in memory, up to a number of bytes, and hands them to any number of
// subscribers, who wait for nothing but memory and make nobody wait: one who falls behind what is
// kept is told so. Thread-safe; Attach() and the ChangeListener's calls come from one thread.
class ChangeFeed : public ChangeListener {
 public:
  explicit ChangeFeed(size_t max_bytes);
  ~ChangeFeed() override;
  ChangeFeed(const ChangeFeed&) = delete;
  ChangeFeed& operator=(const ChangeFeed&) = delete;

  // Up to where changes have been read. To begin, set the sequence up to which they are known.
  struct Place {
    int64_t sequence = 0;
    // Which Attach() the place belongs to; Read() sets it where it is 0.
    uint64_t attached = 0;
  };

  // The changes of the ledger entries after `*place`, as whole commits, at most about `max_events`
  // of them but at least one commit where there is any. Waits until there are some, or until
  // `deadline`: then none. `*place` moves on to where they reach. OUT_OF_RANGE where what follows
  // `*place` is not kept any more or never was, or the local database is another one since: forget
  // everything and begin again. CANCELLED after Close().
  absl::StatusOr<std::vector<std::shared_ptr<const ChangeEvent>>> Read(Place* place,
                                                                       size_t max_events,
                                                                       absl::Time deadline);

  // To be called before the first change: from where on changes are kept; Read() waits for it.
  // Again where the local database is another one from now on: what was kept is dropped.
  void Attach(int64_t applied_sequence);

  // Ends all waits, for good.
  void Close();

  void Committing(absl::Span<const Change> changes) override;
  void Committed(absl::Span<const Change> changes, int64_t applied_sequence) override;
  void CommitFailed() override;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_CHANGE_FEED_H_
