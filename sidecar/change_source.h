// Where watches get changes from.

#ifndef CTLSTORE_SIDECAR_CHANGE_SOURCE_H_
#define CTLSTORE_SIDECAR_CHANGE_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/ldb/changes.h"
#include "common/schema/names.h"
#include "common/schema/value.h"
#include "ctlstore/v1/value.pb.h"

namespace ctlstore::sidecar {

// One state of the local database. To be let go soon: it holds back the database's log. One thread
// at a time; must not outlive its source.
class ChangeView {
 public:
  virtual ~ChangeView() = default;

  // The last ledger sequence that is applied in it.
  virtual int64_t sequence() const = 0;

  // As ldb::Snapshot::GetIdentity().
  virtual absl::StatusOr<std::string> GetIdentity() = 0;

  // As ldb::Snapshot::ReadChanges().
  virtual absl::StatusOr<std::vector<ldb::ChangeEvent>> ReadChanges(int64_t after,
                                                                    size_t max_changes,
                                                                    int64_t* reached) = 0;

  // Copies the row with this key into `*row`, which must be empty. False where there is none, also
  // where there is no such table any more, or its keys are of another kind now.
  virtual absl::StatusOr<bool> ReadRow(const TableName& table, absl::Span<const Value> key,
                                       v1::Row* row) = 0;
};

// Thread-safe.
class ChangeSource {
 public:
  virtual ~ChangeSource() = default;

  // The newest state. UNAVAILABLE (LDB_UNAVAILABLE) where there is none.
  virtual absl::StatusOr<std::unique_ptr<ChangeView>> View() = 0;

  // Calls `done` once, from a thread of its own, when `sequence` is applied, or at the deadline;
  // it must not block. Returns the wait's number. RESOURCE_EXHAUSTED where too many wait; then
  // `done` is not called.
  virtual absl::StatusOr<uint64_t> Wait(int64_t sequence, absl::Time deadline,
                                        std::function<void()> done) = 0;

  // Ends a wait without a call of its `done`. False where that is called already, or is being
  // called.
  virtual bool Cancel(uint64_t wait) = 0;
};

}  // namespace ctlstore::sidecar

#endif  // CTLSTORE_SIDECAR_CHANGE_SOURCE_H_
