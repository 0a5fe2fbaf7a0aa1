// What an import shows while it works.

#ifndef CTLSTORE_CLI_IMPORT_PROGRESS_H_
#define CTLSTORE_CLI_IMPORT_PROGRESS_H_

#include <cstdint>
#include <ostream>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cli/import/importer.h"
#include "cli/import/source_file.h"
#include "common/base/clock.h"

namespace ctlstore::cli {

// On a terminal one line that changes, otherwise a line for every many rows. Bad rows and waiting
// get lines of their own. Not thread-safe.
class ImportProgress : public Importer::Observer {
 public:
  // All must outlive it.
  ImportProgress(const SourceFile* file, Clock* clock, bool terminal, std::ostream* out)
      : file_(file), clock_(clock), terminal_(terminal), out_(out) {}

  void OnProgress(int64_t rows_written) override;
  void OnBadRow(const absl::Status& why) override;
  void OnRetry(const absl::Status& why, absl::Duration wait) override;

  // Ends the line that changes.
  void Finish();

 private:
  const SourceFile* const file_;
  Clock* const clock_;
  const bool terminal_;
  std::ostream* const out_;
  bool line_open_ = false;
  absl::Time last_shown_ = absl::InfinitePast();
  int64_t rows_shown_ = 0;
};

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_IMPORT_PROGRESS_H_
