#include "cli/import_progress.h"

namespace ctlstore::cli {
namespace {

constexpr int64_t kRowsALine = 10000;
constexpr absl::Duration kTimeALine = absl::Milliseconds(100);

}  // namespace

void ImportProgress::OnProgress(int64_t rows_written) {
  const absl::Time now = clock_->Now();
  if (terminal_ ? now - last_shown_ < kTimeALine : rows_written - rows_shown_ < kRowsALine) return;
  last_shown_ = now;
  rows_shown_ = rows_written;
  const int64_t percent = file_->size() == 0 ? 100 : file_->position() * 100 / file_->size();
  *out_ << (terminal_ ? "\r" : "") << rows_written << " rows written (" << percent
        << " % of the file)" << (terminal_ ? "" : "\n") << std::flush;
  line_open_ = terminal_;
}

void ImportProgress::OnBadRow(const absl::Status& why) {
  Finish();
  *out_ << "left out: " << why.message() << "\n";
}

void ImportProgress::OnRetry(const absl::Status& why, absl::Duration wait) {
  Finish();
  *out_ << "trying again in " << absl::FormatDuration(absl::Ceil(wait, absl::Milliseconds(100)))
        << ": " << why.message() << "\n";
}

void ImportProgress::Finish() {
  if (line_open_) *out_ << "\n";
  line_open_ = false;
}

}  // namespace ctlstore::cli
