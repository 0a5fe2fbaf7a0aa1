// What is shown while a snapshot is fetched or restored.

#ifndef CTLSTORE_CLI_TRANSFER_PROGRESS_H_
#define CTLSTORE_CLI_TRANSFER_PROGRESS_H_

#include <cstddef>
#include <ostream>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cli/restore/restorer.h"
#include "common/base/clock.h"
#include "common/snapshot/fetch_progress.h"

namespace ctlstore::cli {

// On a terminal one line that changes; otherwise nothing. Thread-safe.
class TransferProgress {
 public:
  // Both must outlive it.
  TransferProgress(Clock* clock, bool terminal, std::ostream* out)
      : clock_(clock), terminal_(terminal), out_(out) {}
  ~TransferProgress() { Finish(); }

  void Show(const snapshot::FetchProgress& progress);
  void Show(const RestoreProgress& progress);

  // Ends the line.
  void Finish();

 private:
  void ShowLine(const std::string& line, bool at_once);

  Clock* const clock_;
  const bool terminal_;
  std::ostream* const out_;
  absl::Mutex mutex_;
  size_t width_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time last_shown_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
};

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_TRANSFER_PROGRESS_H_
