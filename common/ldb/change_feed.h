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

// A Change that can be kept.
struct ChangeEvent {
  Change::Kind kind = Change::Kind::kKey;
  int64_t sequence = 0;
  TableName table;
  std::vector<Field> key_fields;
  std::vector<Value> key;
};

// Keeps the last changes in memory, up to a number of bytes, and hands them to any number of
// subscribers, who wait for nothing but memory and make nobody wait: one who falls behind what is
// kept is told so. Thread-safe; the ChangeListener's calls come from one thread.
class ChangeFeed : public ChangeListener {
 public:
  explicit ChangeFeed(size_t max_bytes);
  ~ChangeFeed() override;
  ChangeFeed(const ChangeFeed&) = delete;
  ChangeFeed& operator=(const ChangeFeed&) = delete;

  // The changes of the ledger entries after `sequence`, as whole commits, at most about
  // `max_events` of them but at least one commit where there is any. Waits until there are some, or
  // until `deadline`: then none. `*applied_sequence` is up to where they reach; go on there.
  // OUT_OF_RANGE where changes after `sequence` are not kept any more, or never were; CANCELLED
  // after Close().
  absl::StatusOr<std::vector<std::shared_ptr<const ChangeEvent>>> Read(int64_t sequence,
                                                                       size_t max_events,
                                                                       absl::Time deadline,
                                                                       int64_t* applied_sequence);

  // To be called before the first change: from where on changes are kept. Again where the local
  // database is another one from now on: what was kept is dropped.
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
