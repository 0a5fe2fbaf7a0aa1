// What changes in the local database.

#ifndef CTLSTORE_SIDECAR_LDB_CHANGE_SOURCE_H_
#define CTLSTORE_SIDECAR_LDB_CHANGE_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/ldb/reader.h"
#include "sidecar/change_source.h"
#include "sidecar/sequence_waiter.h"

namespace ctlstore::sidecar {

// Has a thread to wait with, apart from those who wait for a sequence to read at it. Thread-safe.
class LdbChangeSource : public ChangeSource {
 public:
  // At most `max_waits` at a time. The reader must outlive it.
  LdbChangeSource(ldb::Reader* reader, size_t max_waits);

  absl::StatusOr<std::unique_ptr<ChangeView>> View() override;
  absl::StatusOr<uint64_t> Wait(int64_t sequence, absl::Time deadline,
                                std::function<void()> done) override;
  bool Cancel(uint64_t wait) override;

 private:
  ldb::Reader* const reader_;
  SequenceWaiter waiter_;
};

}  // namespace ctlstore::sidecar

#endif  // CTLSTORE_SIDECAR_LDB_CHANGE_SOURCE_H_
